/** A table that the load writes to. Column values are compared as the server's text of them. */
export interface LoadTable {
  readonly name: string
  readonly columns: readonly string[]
  /** Empty: rows are told apart by all of their columns. */
  readonly key: readonly string[]
  /** Rows that are there before the load: their number, and the column by which each is known for life, from 1 on. */
  readonly initial?: { readonly rows: number; readonly column: string }
  /** SQL for what events say of a column where the server's text is another. */
  readonly texts?: Readonly<Record<string, string>>
}

export const LEDGER = 'ledger'
export const SIGNALS = 'signals'

export const ACCOUNTS = 20_000
export const DOCUMENTS = 400
export const MOVES = 1000
export const WHOLE = 500
export const SHAPED = 40
/** Of more than one part of a snapshot, so that a kill can fall between two of them. */
const KEYLESS = 20_000

/**
 * With what `Writer` does to them, the cases of C7: new definitions mid-stream (shaped), unchanged TOAST (documents, whole),
 * new keys (moves, whole), TRUNCATE (emptied), replica identity FULL (whole, keyless) and NOTHING (blind), two events of one
 * LSN (blind). The transaction of a million rows is a part of its own.
 */
export const LOAD_TABLES: readonly LoadTable[] = [
  { name: 'accounts', columns: ['id', 'balance', 'note'], key: ['id'], initial: { rows: ACCOUNTS, column: 'id' } },
  { name: 'documents', columns: ['id', 'version', 'body'], key: ['id'], initial: { rows: DOCUMENTS, column: 'id' } },
  { name: 'moves', columns: ['a', 'b', 'v'], key: ['a', 'b'], initial: { rows: MOVES, column: 'a' } },
  { name: 'whole', columns: ['id', 'v', 'body'], key: ['id'], initial: { rows: WHOLE, column: 'id' } },
  { name: 'keyless', columns: ['n', 'v'], key: [] },
  { name: 'blind', columns: ['n', 'v'], key: [] },
  { name: 'emptied', columns: ['id', 'v'], key: ['id'] },
  { name: 'shaped', columns: ['id', 'v', 'extra'], key: ['id'], initial: { rows: SHAPED, column: 'id' } },
  { name: LEDGER, columns: ['writer', 'n'], key: ['writer', 'n'] },
]

/** Bodies are kept out of line and uncompressed, so that updates of other columns do not bring them (TOAST). */
export const SCHEMA = `
CREATE TABLE accounts(id int PRIMARY KEY, balance numeric(12,2) NOT NULL, note text);
CREATE TABLE documents(id int PRIMARY KEY, version int NOT NULL, body text);
ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
CREATE TABLE moves(v int, b text, a int, PRIMARY KEY (a, b));
CREATE TABLE whole(id int PRIMARY KEY, v int, body text);
ALTER TABLE whole ALTER body SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
CREATE TABLE keyless(n int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE blind(n int, v text);
ALTER TABLE blind REPLICA IDENTITY NOTHING;
CREATE TABLE emptied(id int PRIMARY KEY, v text);
CREATE TABLE shaped(id int PRIMARY KEY, v int, extra text);
CREATE TABLE ${LEDGER}(writer int, n int, PRIMARY KEY (writer, n));
CREATE TABLE ${SIGNALS}(id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data text);
INSERT INTO accounts SELECT i, i * 1.25, repeat('note ' || i || ' ', 12) FROM generate_series(1, ${ACCOUNTS}) i;
INSERT INTO documents SELECT i, 0, repeat(md5(i::text), 100) FROM generate_series(1, ${DOCUMENTS}) i;
INSERT INTO moves SELECT i, 'b' || i, i FROM generate_series(1, ${MOVES}) i;
INSERT INTO whole SELECT i, 0, repeat(md5(i::text), 100) FROM generate_series(1, ${WHOLE}) i;
INSERT INTO keyless SELECT i % 50, repeat('start ' || i || ' ', 9) FROM generate_series(1, ${KEYLESS}) i;
INSERT INTO blind SELECT i, 'start' FROM generate_series(1, 100) i;
INSERT INTO shaped SELECT i, 0, 'extra ' || i FROM generate_series(1, ${SHAPED}) i;
`
