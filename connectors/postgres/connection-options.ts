import { defineOptions, type OptionValues } from '../../runtime/api/index.ts'

const GROUP = 'connection'

export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export const SESSION_ATTRS = ['primary', 'read-write', 'standby', 'any'] as const

/** Names are Debezium's. What is left out comes from libpq's `PG*` environment variables, then from libpq's defaults. */
export const CONNECTION_OPTIONS = defineOptions({
  'database.hostname': {
    type: 'string',
    default: null,
    importance: 'high',
    group: GROUP,
    doc: 'Server, or several (`a:5432,b:5433`), of which the first that `database.target.session.attrs` fits is taken; a folder (`/var/run/postgresql`) means its unix socket. Left out: PGHOST, or localhost.',
    examples: ['db.example.com', 'pg1:5432,pg2:5432', '/var/run/postgresql'],
  },
  'database.port': {
    type: 'integer',
    default: null,
    min: 1,
    max: 65_535,
    importance: 'high',
    group: GROUP,
    doc: 'Port of each server that names none itself. Left out: PGPORT, or 5432.',
    examples: [5432],
  },
  'database.user': {
    type: 'string',
    default: null,
    importance: 'high',
    group: GROUP,
    doc: 'Role to connect as; needs the attribute REPLICATION. Left out: PGUSER, or the name of the operating system user.',
    examples: ['kts_connect'],
  },
  'database.password': {
    type: 'secret',
    default: null,
    importance: 'high',
    group: GROUP,
    doc: 'Its password. Left out: PGPASSWORD, or none.',
  },
  'database.dbname': {
    type: 'string',
    default: null,
    importance: 'high',
    group: GROUP,
    doc: 'Database whose changes are captured. Left out: PGDATABASE, or the name of the role.',
    examples: ['shop'],
  },
  'database.sslmode': {
    type: 'enum',
    ignoreCase: true,
    values: SSL_MODES,
    default: null,
    group: GROUP,
    doc: 'TLS as libpq has it: prefer encrypts where the server can, require always, verify-ca also checks who signed the certificate, verify-full also the name in it. Left out: PGSSLMODE, or prefer. Not on unix sockets.',
  },
  'database.sslrootcert': {
    type: 'path',
    default: null,
    group: GROUP,
    doc: 'PEM file of the certificate authorities that may sign the certificate of the server. Left out: PGSSLROOTCERT, or, with verify-full, those that Node.js trusts. With it require checks as verify-ca does.',
  },
  'database.sslcert': {
    type: 'path',
    default: null,
    group: GROUP,
    doc: 'PEM file of the client certificate. Left out: PGSSLCERT, or none.',
  },
  'database.sslkey': {
    type: 'path',
    default: null,
    group: GROUP,
    doc: 'File of the key of the client certificate, PEM or PKCS-8 DER. Left out: PGSSLKEY, or none.',
  },
  'database.sslpassword': {
    type: 'secret',
    default: null,
    group: GROUP,
    doc: 'Password of the key in database.sslkey.',
  },
  'database.tcpKeepAlive': {
    type: 'boolean',
    default: true,
    importance: 'low',
    group: GROUP,
    doc: 'Asks an idle connection for a sign of life after 10 s, so that one that is dead is noticed.',
  },
  'database.initial.statements': {
    type: 'string',
    default: null,
    importance: 'low',
    group: GROUP,
    doc: 'SQL statements with `;` between them (`;;` for one inside of a statement) that each connection begins with, but those of the replication protocol: `SET ROLE reader`, for instance. Settings that values are read by stay as they are.',
    examples: ['SET ROLE reader'],
  },
  'database.target.session.attrs': {
    type: 'enum',
    ignoreCase: true,
    values: SESSION_ATTRS,
    default: null,
    importance: 'low',
    group: GROUP,
    aliases: ['database.target_session_attrs'],
    doc: 'Which server is taken: the primary (read-write says the same, and that writing is allowed), a standby (PostgreSQL 16 and later decode there; nothing that writes works), or any. Left out: PGTARGETSESSIONATTRS, or primary.',
  },
  'connection.timeout.ms': {
    type: 'duration',
    default: 30_000,
    min: 100,
    importance: 'low',
    group: GROUP,
    doc: 'Longest wait until one server has let us in.',
  },
})

export type ConnectionOptions = OptionValues<typeof CONNECTION_OPTIONS>
