/**
 * What is known about nginx's log variables (https://nginx.org/en/docs/varindex.html). A variable that is not listed is
 * text that may hold anything but what follows it in the format.
 */
export type VariableKind =
  /** May hold spaces; ends at the first occurrence of what follows. */
  | 'text'
  /** As text, and never holds a space: a line with one does not have this format. */
  | 'word'
  /** Digits, as a number. */
  | 'integer'
  /** Digits with an optional fraction, as a number. */
  | 'decimal'
  /** `20/Nov/2026:14:05:09 +0000`; text, and the record's time. */
  | 'time-local'
  /** `2026-11-20T14:05:09+00:00`; text, and the record's time. */
  | 'time-iso8601'
  /** `1763647509.123`: seconds with milliseconds, as a number, and the record's time. */
  | 'msec'
  /** `GET /path HTTP/1.1`: text, and its parts in `method`, `path` and `protocol`. */
  | 'request'

const KINDS: Readonly<Record<string, VariableKind>> = {
  binary_remote_addr: 'text',
  body_bytes_sent: 'integer',
  bytes_received: 'integer',
  bytes_sent: 'integer',
  connection: 'integer',
  connection_requests: 'integer',
  connection_time: 'decimal',
  content_length: 'integer',
  msec: 'msec',
  pid: 'integer',
  pipe: 'word',
  proxy_protocol_addr: 'word',
  realip_remote_addr: 'word',
  remote_addr: 'word',
  remote_port: 'integer',
  request: 'request',
  request_id: 'word',
  request_length: 'integer',
  request_method: 'word',
  request_time: 'decimal',
  scheme: 'word',
  server_port: 'integer',
  server_protocol: 'word',
  session_time: 'decimal',
  status: 'integer',
  time_iso8601: 'time-iso8601',
  time_local: 'time-local',
}

export function kindOf(variable: string): VariableKind {
  return Object.hasOwn(KINDS, variable) ? KINDS[variable]! : 'text'
}

/** How exactly a variable tells the time: of several in one format the finest sets the record's timestamp. */
export function timeRank(kind: VariableKind): number {
  if (kind === 'msec') return 3
  if (kind === 'time-iso8601') return 2
  return kind === 'time-local' ? 1 : 0
}
