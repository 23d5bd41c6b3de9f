import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { sharedData } from '../../support/shared-data.ts'
import { linesOf, openParse } from './parse-support.ts'

const directory = sharedData('access-logs')

/** How many lines of each file have the combined format; every other file of the folder has none. */
const COMBINED_LINES: Readonly<Record<string, number>> = {
  'apache2-malformed--apache2-logs.log': 11,
  'http-admin-interface-probing--http-admin-interface-probing.log': 3,
  'http-cve-probing--http-cve-probing.log': 3,
  'http-dos-invalid-http-versions--http-dos-invalid-http-versions.log': 6,
  'http-dos-switching-ua--http-dos-switching-ua.log': 15,
  'http-wordpress-scan--http-wordpress-scan.log': 8,
  'nginx-bad-user-agent--nginx-bad-user-agent.log': 3,
  'nginx-http-backdoor--nginx-http-backdoor.log': 2,
  'nginx-http-malformed--nginx_http-logs.log': 12,
  'nginx-http-path-traversal--nginx-http-path-traversal.log': 9,
  'nginx-http-sqli-probing--nginx-http-sqli-probing.log': 16,
  'nginx-http-xss-probing--nginx-http-xss-probing.log': 26,
  'nginx-mail-logs--nginx-mail-logs.log': 2,
  'nginx-proxy-manager-malformed--nginx_http-logs.log': 12,
  // Three of its seven have a virtual host in front.
  'nginx_http-logs--nginx_http-logs.log': 4,
}

/** The spellings a web server may have given a value: as it is, nginx's escapes, Apache's. */
function spellings(value: unknown): string[] {
  if (value === null) return ['-']
  if (typeof value === 'number') return [String(value), String(value).padStart(3, '0')]
  const text = String(value)
  const bytes = [...Buffer.from(text)]
  const hex = (b: number) => `\\x${b.toString(16).toUpperCase().padStart(2, '0')}`
  const nginx = bytes.map(b => (b < 32 || b > 126 || b === 34 || b === 92 ? hex(b) : String.fromCharCode(b))).join('')
  const apache = text.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\t', '\\t')
  return [text, nginx, apache]
}

/** True when the fields, spelled one way or another, give the line back. */
function rebuilds(line: string, fields: Record<string, unknown>): boolean {
  const parts = ['remote_addr', ' - ', 'remote_user', ' [', 'time_local', '] "', 'request', '" ', 'status', ' ']
  parts.push('body_bytes_sent', ' "', 'http_referer', '" "', 'http_user_agent', '"')
  let at = 0
  for (const [i, part] of parts.entries()) {
    const candidates = i % 2 === 1 ? [part] : spellings(fields[part])
    // The longest that fits: a value that ends early would strand the next literal.
    const fitting = candidates.filter(c => line.startsWith(c, at)).sort((a, b) => b.length - a.length)[0]
    if (fitting === undefined) return false
    at += fitting.length
  }
  return at === line.length
}

describe.skipIf(directory === undefined)('real access logs', () => {
  function check(path: string): { parsed: number; kept: number[] } {
    const { parse, counts } = openParse({ format: 'combined' })
    const kept: number[] = []
    let parsed = 0
    for (const [i, line] of linesOf(path).entries()) {
      const record = parse(Buffer.from(line))
      const value = record.value as Record<string, unknown>
      if ('parse_error' in value) {
        kept.push(i + 1)
        expect(value.message).toBe(line.toString())
      } else {
        parsed++
        expect(rebuilds(line.toString(), value), `${path}:${i + 1}`).toBe(true)
      }
    }
    expect(counts['parse.errors'] ?? 0).toBe(kept.length)
    return { parsed, kept }
  }

  test('of 10,000 real Apache lines only the one without its closing quote is kept whole', () => {
    expect(check(`${directory}/apache-combined.log`)).toEqual({ parsed: 9999, kept: [8899] })
  })

  const files = directory === undefined ? [] : readdirSync(`${directory}/crowdsec`).filter(f => f.endsWith('.log'))
  test.each(files)('%s: each line gives its fields, or is kept and counted', file => {
    const { parsed } = check(`${directory}/crowdsec/${file}`)
    expect(parsed).toBe(COMBINED_LINES[file] ?? 0)
  })

  test('a format string reads what combined cannot: the virtual host in front', () => {
    const format =
      '$server_name $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
    const { parse, counts } = openParse({ format })
    const lines = linesOf(`${directory}/crowdsec/bunkerweb-http-path-traversal--bunkerweb-http-path-traversal.log`)
    for (const line of lines) parse(line)
    expect({ lines: lines.length, kept: counts['parse.errors'] }).toMatchInlineSnapshot(`
      {
        "kept": 1,
        "lines": 10,
      }
    `)
  })
})
