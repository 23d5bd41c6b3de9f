import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packageRoot } from '../../cli/package-root.ts'

/** Pinned in test/kafka/pom.xml too. */
export const KAFKA_VERSION = '4.1.2'

/** A small heap, no background compiler to speak of: these processes are short. */
const JVM = [
  '-Xmx256m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Djava.awt.headless=true',
  '-Dfile.encoding=UTF-8',
  '-Dsun.stdout.encoding=UTF-8',
]

const READY_MS = 60_000

export interface KafkaBroker {
  readonly host: string
  readonly port: number
  /** `host:port`, as Kafka's tools want it. */
  readonly bootstrap: string
  /** Its one log directory, which holds a folder per partition. */
  readonly logs: string
  /** A clean shutdown (SIGTERM); rejects with its log when it does not end. Does nothing the second time. */
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
}

/**
 * The jars of Apache Kafka: the folder `KTS_KAFKA_LIBS`, else a cache, which Maven fills the first time (54 MB). Throws
 * what is missing: a judge that is not there is a failure and not a skip.
 */
export function kafkaLibs(): string {
  const given = process.env.KTS_KAFKA_LIBS
  if (given !== undefined && given !== '') return checkedLibs(given, 'KTS_KAFKA_LIBS')
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'kts-connect-ci')
  const libs = join(cache, `kafka-${KAFKA_VERSION}`)
  if (!existsSync(libs)) download(libs)
  return checkedLibs(libs, 'the cache')
}

function checkedLibs(libs: string, whose: string): string {
  if (existsSync(libs) && readdirSync(libs).includes(`kafka_2.13-${KAFKA_VERSION}.jar`)) return libs
  throw new Error(`${libs} (${whose}) does not hold the jars of Apache Kafka ${KAFKA_VERSION}; see README.md, Tests`)
}

function download(libs: string): void {
  const part = `${libs}.${process.pid}`
  const pom = fileURLToPath(new URL('test/kafka/pom.xml', packageRoot()))
  mkdirSync(part, { recursive: true })
  try {
    console.warn(`fetching Apache Kafka ${KAFKA_VERSION} with Maven, once`)
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${part}`]
    execFileSync('mvn', ['-q', '-B', '-f', pom, ...goal], { stdio: ['ignore', 'inherit', 'inherit'] })
    // Another test file may have been quicker.
    if (!existsSync(libs)) renameSync(part, libs)
  } catch (error) {
    const advice = 'install Maven and Java 17, or point KTS_KAFKA_LIBS at the jars'
    throw new Error(`Apache Kafka ${KAFKA_VERSION} could not be fetched with mvn (${advice}): ${String(error)}`)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
}

/** Runs a main class of Kafka to its end and answers what it printed. Costs about a second of CPU: use few. */
export async function runKafka(main: string, args: readonly string[], okCodes: readonly number[] = [0]) {
  const java = spawn('java', [...JVM, '-cp', join(kafkaLibs(), '*'), main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err] = [java.stdout, java.stderr].map(stream => {
    const chunks: Buffer[] = []
    stream.on('data', chunk => chunks.push(chunk))
    return () => Buffer.concat(chunks).toString()
  })
  const code = await ended(java)
  if (okCodes.includes(code)) return { out: out!(), err: err!() }
  throw new Error(`${main} ended with ${code}:\n${err!()}\n${out!()}`)
}

/** Every line that DumpLogSegments prints of these files, in deep iteration; its exit code tells nothing. */
export async function dumpLogSegments(files: readonly string[], options: readonly string[] = []): Promise<string> {
  const { out, err } = await runKafka('kafka.tools.DumpLogSegments', [
    '--deep-iteration',
    ...options,
    '--files',
    files.join(','),
  ])
  // What it finds wrong goes to the error output.
  return `${out}\n${err}`
}

/** A broker and controller in one process over `directory`, formatted when it is new; answers when it serves. */
export async function startKafka(
  directory: string,
  properties: Record<string, string> = {},
  jvm: readonly string[] = JVM,
): Promise<KafkaBroker> {
  const host = '127.0.0.1'
  const [port, controllerPort] = [await freePort(), await freePort()]
  mkdirSync(directory, { recursive: true })
  const logs = join(directory, 'logs')
  const config = join(directory, 'server.properties')
  const all = { ...brokerProperties(logs, host, port, controllerPort), ...properties }
  writeFileSync(
    config,
    Object.entries(all)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  )
  if (!existsSync(join(logs, 'meta.properties')))
    await runKafka('kafka.tools.StorageTool', ['format', '-t', 'AAAAAAAAAAAAAAAAAAAAAA', '-c', config])
  const journal = join(directory, 'server.log')
  writeFileSync(join(directory, 'log4j2.properties'), logging(journal))
  const logging4j = `-Dlog4j2.configurationFile=${join(directory, 'log4j2.properties')}`
  const java = spawn('java', [...jvm, logging4j, '-cp', join(kafkaLibs(), '*'), 'kafka.Kafka', config], {
    stdio: 'ignore',
  })
  const exit = ended(java)
  const kill = () => java.kill('SIGKILL')
  process.once('exit', kill)
  const failed = (what: string) =>
    new Error(`Apache Kafka ${what}:\n${existsSync(journal) ? readFileSync(journal, 'utf8').slice(-4000) : ''}`)
  if (!(await serves(host, port, () => java.exitCode !== null))) {
    kill()
    process.off('exit', kill)
    throw failed('did not come up')
  }
  return {
    host,
    port,
    bootstrap: `${host}:${port}`,
    logs,
    async stop() {
      java.kill('SIGTERM')
      const timer = setTimeout(() => java.kill('SIGKILL'), READY_MS)
      const code = await exit
      clearTimeout(timer)
      process.off('exit', kill)
      // 143: ended by SIGTERM, which is how it is told.
      if (code !== 0 && code !== 143) throw failed(`ended with ${code}`)
    },
    async kill() {
      kill()
      await exit
      process.off('exit', kill)
    },
  }
}

function brokerProperties(logs: string, host: string, port: number, controllerPort: number): Record<string, string> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@${host}:${controllerPort}`,
    listeners: `PLAINTEXT://${host}:${port},CONTROLLER://${host}:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://${host}:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'log.dirs': logs,
    'num.partitions': '1',
    'num.io.threads': '2',
    'num.network.threads': '2',
    'auto.create.topics.enable': 'false',
    'offsets.topic.num.partitions': '1',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'group.coordinator.append.linger.ms': '0',
    // Records of the tests are of any year.
    'log.retention.ms': '-1',
  }
}

function logging(file: string): string {
  return `status=error
appender.f.type=File
appender.f.name=F
appender.f.fileName=${file}
appender.f.layout.type=PatternLayout
appender.f.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.f.ref=F
`
}

/** -1 for a signal that nobody caught; rejects when there is no Java. */
function ended(java: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    java.once('error', error => {
      reject(new Error(`java (17 or later) is needed to try the log on Apache Kafka's own code: ${String(error)}`))
    })
    java.once('close', code => resolve(code ?? -1))
  })
}

async function serves(host: string, port: number, dead: () => boolean): Promise<boolean> {
  const deadline = Date.now() + READY_MS
  while (Date.now() < deadline && !dead()) {
    if ((await knownBrokers(host, port)) > 0) return true
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  return false
}

/** How many brokers a Metadata request (version 1, all topics) names; 0 while nobody answers. */
function knownBrokers(host: string, port: number): Promise<number> {
  return new Promise(resolve => {
    const socket = connect(port, host)
    const request = Buffer.from('0000000e00030001000000070000ffffffff', 'hex')
    let answer = Buffer.alloc(0)
    socket.setTimeout(5000, () => socket.destroy())
    socket.once('connect', () => socket.write(request))
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk])
      if (answer.length >= 12) socket.destroy()
    })
    socket.once('close', () => resolve(answer.length < 12 ? 0 : answer.readInt32BE(8)))
  })
}

/**
 * A port that nobody listens on, below those that the kernel gives to outgoing connections: the JVM takes seconds until it
 * listens, and other tests connect meanwhile.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(15_000, 32_000)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
