import type { Random } from '../base/index.ts'

/**
 * Made-up requests in nginx's `combined` format: about 214 bytes a line, as a real access log has. Pure: time and
 * randomness come in, so a seed replays a log. Addresses are those reserved for documentation (RFC 5737, RFC 3849).
 */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const NETWORKS = ['192.0.2.', '198.51.100.', '203.0.113.', '2001:db8::']

const PAGES = [
  '/',
  '/index.html',
  '/products',
  '/products/espresso-machines?page=2&sort=price',
  '/products/grinders/conical-burr-40mm',
  '/blog/2026/09/how-we-measure-extraction',
  '/blog/feed.xml',
  '/assets/main.4f9a1c.css',
  '/assets/app.8b21d7.js',
  '/assets/img/hero-1600.webp',
  '/api/v1/cart',
  '/api/v1/orders?limit=50&cursor=eyJpZCI6MTIzNDU2fQ',
  '/search?q=single+origin+ethiopia&lang=en',
  '/account/login',
  '/favicon.ico',
  '/robots.txt',
]

const REFERERS = [
  '-',
  'https://shop.example.com/',
  'https://shop.example.com/products/grinders',
  'https://www.example.org/search?q=espresso+grinder',
]

const AGENTS = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15',
  'Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148',
  'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
  'curl/8.10.1',
]

const STATUSES = [200, 200, 200, 200, 200, 200, 200, 200, 304, 304, 301, 302, 404, 404, 499, 500]

/** `20/Nov/2026:14:05:09 +0000`: nginx's `$time_local` in UTC. */
export function timeLocal(timeMs: number): string {
  const t = new Date(timeMs)
  const two = (n: number) => (n < 10 ? `0${n}` : `${n}`)
  const day = `${two(t.getUTCDate())}/${MONTHS[t.getUTCMonth()]}/${t.getUTCFullYear()}`
  return `${day}:${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())} +0000`
}

/** One line without its newline. */
export function accessLogLine(random: Random, timeMs: number): string {
  return lineAt(random, timeLocal(timeMs))
}

/**
 * Lines with their newlines, at most `bytes` of them in all, `stepMs` apart from `startMs` on: what a bulk writer writes.
 * At least one line.
 */
export function accessLogChunk(random: Random, bytes: number, startMs: number, stepMs: number): ChunkOfLines {
  const lines: string[] = []
  let length = 0
  let timeMs = startMs
  let second = -1
  let time = ''
  for (;;) {
    if (Math.floor(timeMs / 1000) !== second) {
      second = Math.floor(timeMs / 1000)
      time = timeLocal(timeMs)
    }
    const line = lineAt(random, time)
    // Every character is ASCII: length is bytes.
    if (length + line.length + 1 > bytes && lines.length > 0) break
    lines.push(line)
    length += line.length + 1
    timeMs += stepMs
    if (length >= bytes) break
  }
  return { text: `${lines.join('\n')}\n`, lines: lines.length, nextMs: timeMs }
}

export interface ChunkOfLines {
  readonly text: string
  readonly lines: number
  /** Time of the line that would follow. */
  readonly nextMs: number
}

function lineAt(random: Random, time: string): string {
  const visitor = Math.floor(random.next() * 1000)
  const host = visitor % 4 === 3 ? visitor.toString(16) : `${visitor % 254}`
  // What one visitor sends stays the same: the agent hangs on the visitor.
  const agent = AGENTS[visitor % 9] ?? AGENTS[visitor % 3]
  const page = Math.floor(random.next() * PAGES.length)
  const status = STATUSES[Math.floor(random.next() * STATUSES.length)]!
  const size = status === 304 || status === 499 ? 0 : Math.floor(random.next() ** 3 * 200_000) + 150
  const method = page === 10 && status === 200 ? 'POST' : 'GET'
  const referer = REFERERS[(visitor + page) % REFERERS.length]
  const request = `"${method} ${PAGES[page]} HTTP/1.1" ${status} ${size} "${referer}" "${agent}"`
  return `${NETWORKS[visitor % 4]}${host} - - [${time}] ${request}`
}
