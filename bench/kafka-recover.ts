import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { type KafkaBroker, runKafka, startKafka } from '../test/support/kafka.ts'

const RECORD_BYTES = 1000
/** Written before each kill, so that every restart has something to recover. */
const WRITTEN_BYTES = 32 << 20
/** As kafka-server-start.sh has it. */
const JVM = ['-Xmx1g', '-Xms1g', '-XX:+UseG1GC', '-Djava.awt.headless=true']

export interface KafkaRecovery {
  /** Seconds from the start to the first answer; it is then given records and killed. */
  restart(): Promise<number>
  close(): Promise<void>
}

/** A single Apache Kafka that keeps `bytes` in one topic and was killed; undefined where there is no Java. */
export async function kafkaRecovery(
  directory: string,
  partitions: number,
  bytes: number,
): Promise<KafkaRecovery | undefined> {
  if (!hasJava()) return undefined
  mkdirSync(directory, { recursive: true })
  let broker: KafkaBroker | undefined = await startKafka(directory, {}, JVM)
  const topic = ['--create', '--topic', 'lines', '--partitions', `${partitions}`, '--replication-factor', '1']
  await runKafka('org.apache.kafka.tools.TopicCommand', ['--bootstrap-server', broker.bootstrap, ...topic])
  await produce(broker, bytes)
  await broker.kill()
  broker = undefined
  return {
    async restart() {
      const started = performance.now()
      broker = await startKafka(directory, {}, JVM)
      const seconds = (performance.now() - started) / 1000
      await produce(broker, WRITTEN_BYTES)
      await broker.kill()
      broker = undefined
      return seconds
    },
    async close() {
      await broker?.kill()
    },
  }
}

function produce(broker: KafkaBroker, bytes: number) {
  const props = [`bootstrap.servers=${broker.bootstrap}`, 'batch.size=1000000', 'linger.ms=5']
  const records = `${Math.ceil(bytes / RECORD_BYTES)}`
  const what = ['--topic', 'lines', '--num-records', records, '--record-size', `${RECORD_BYTES}`, '--throughput', '-1']
  return runKafka('org.apache.kafka.tools.ProducerPerformance', [...what, '--producer-props', ...props])
}

function hasJava(): boolean {
  try {
    execFileSync('java', ['-version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
