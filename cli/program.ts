import { Command, InvalidArgumentError, Option } from 'commander'
import { processSignals } from './signals.ts'

/**
 * The command line. Only arguments are declared here; what a command does is loaded when it runs, so that `--help` answers
 * at once.
 */
export function buildProgram(): Command {
  const program = new Command('kts-connect')
    .description('Moves data through an embedded, durable log: tail files, keep every line, load object storage.')
    .option('-V, --version', 'print the version')
    .option('--verbose', 'show stack traces of errors')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ sortSubcommands: false })
    .addHelpText('after', TOUR)
  addPipelineCommands(program)
  addLookCommands(program)
  addLogCommands(program)
  return program
}

const TOUR = `
A short tour:
  kts-connect init nginx-to-s3              write a commented nginx-to-s3.yaml
  kts-connect validate nginx-to-s3.yaml     report every mistake in it at once
  kts-connect start nginx-to-s3.yaml        run it; Ctrl-C stops without losing anything
  kts-connect status -f nginx-to-s3.yaml    how far is each connector?
  kts-connect consume nginx.access -f nginx-to-s3.yaml --from-beginning --max-messages 3

A pipeline file has sources, sinks and the topics between them; names and defaults are those of
Kafka Connect. The log lies in .kts-connect beside the file. Exit codes: 0 done, 1 failed, 2 wrong
usage or configuration. \`kts-connect COMMAND --help\` has examples for each command.`

function addPipelineCommands(program: Command): void {
  program
    .command('init')
    .description('write a commented pipeline file to start from')
    .argument('[name]', 'which one; without it, lists what there is')
    .option('-o, --output <file>', 'where to write it, - for standard output (default: NAME.yaml)')
    .addHelpText('after', examples('init nginx-to-s3', 'init file-to-file --output copy.yaml'))
    .action(async (name, options) => (await import('./commands/init.ts')).init(name, options))
  program
    .command('start')
    .description('run pipelines until everything is read, or until Ctrl-C')
    .argument('<files...>', 'pipeline files, or folders of them')
    .option('--data-dir <dir>', 'where the log lies (default: .kts-connect beside the first file)', folder)
    .option('--allow-destructive', 'let the files change topics so that records are deleted (shorter retention, ...)')
    .addOption(
      new Option('--log-level <level>', 'least important lines shown')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .addHelpText(
      'after',
      `${examples('start pipeline.yaml', 'start pipelines/ --data-dir /var/lib/kts-connect')}${START}`,
    )
    .action(async (files, options) => {
      const asked = processSignals()
      await (await import('./commands/start.ts')).start(files, options, asked)
    })
  program
    .command('validate')
    .description('report every mistake in pipeline files at once; starts nothing')
    .argument('<files...>', 'pipeline files, or folders of them')
    .option('--connect', 'also check that files, folders and buckets can be used, by using them')
    .addHelpText('after', examples('validate pipeline.yaml', 'validate pipelines/ --connect'))
    .action(async (files, options) => (await import('./commands/validate.ts')).validate(files, options))
  program
    .command('delete')
    .description('forget the positions of a connector and take back what it made; its worker must not run')
    .argument('<connector>')
    .requiredOption('-f, --file <file>', 'the pipeline file it stands in')
    .option('--data-dir <dir>', 'the data directory, where it is another than the file says', folder)
    .option('--drop-slot', 'also its replication slot: changes from now on are lost to it')
    .addOption(
      new Option(
        '--offline',
        'ask nothing of the system it reads, which may be gone: says what would be left there',
      ).conflicts('dropSlot'),
    )
    .requiredOption('--yes', 'needed: there is no way back')
    .addHelpText('after', `${examples('delete orders-db -f pipeline.yaml --drop-slot --yes')}${DELETE}`)
    .action(async (connector, options) => (await import('./commands/delete.ts')).deleteConnector(connector, options))
  program
    .command('schema')
    .description('print the JSON Schema of pipeline files, for completion in editors')
    .addHelpText('after', `${examples('schema > kts-connect.schema.json')}${SCHEMA}`)
    .action(async () => (await import('./commands/schema.ts')).schema())
}

const START = `
On a terminal it shows a live table, otherwise one JSON log line per event. The first Ctrl-C (or
SIGTERM) drains and commits, the second stops at once. Ends with 0 when every source has been read
to its end (at.end: stop) and delivered, with 1 when nothing is left that could run.`

const DELETE = `
Records in topics and objects in stores stay. When the connector is started again, it begins anew.`

const SCHEMA = `
Then, as the first line of a pipeline file (VS Code with the YAML extension, and others):
  # yaml-language-server: $schema=./kts-connect.schema.json`

function addLookCommands(program: Command): void {
  forWorker(program.command('status'))
    .description('state, counts and lag of every connector; exits with 1 when one has failed or none runs')
    .option('--json', 'all of it, as JSON')
    .addHelpText('after', examples('status -f pipeline.yaml', 'status --url http://127.0.0.1:8083 --json'))
    .action(async options => (await import('./commands/status.ts')).status(options))

  forWorker(program.command('signal'))
    .description('ask a connector of a running worker for something: a snapshot of tables, a pause of it, ...')
    .argument('<connector>')
    .argument('<type>', 'execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot or log')
    .option('--tables <names>', 'tables, with commas between them: schema.table', commaList)
    .option('--filter <table=SQL>', 'only rows of this table that fulfil the condition; may be repeated', setting)
    .option('--data <json>', 'other members of the data, as JSON')
    .addHelpText('after', examples(...SIGNALS))
    .action(async (connector, type, options) => (await import('./commands/signal.ts')).signal(connector, type, options))

  const topics = program.command('topics').description('what is in the log, and changing it')
  forWorker(topics.command('list', { isDefault: true }))
    .description('every topic with its size')
    .option('--json', 'as JSON')
    .option('--internal', "also the log's own topics")
    .addHelpText('after', examples('topics list -f pipeline.yaml'))
    .action(async options => (await import('./commands/topics.ts')).listTopics(options))
  forWorker(topics.command('describe'))
    .description('partitions, offsets, settings and readers of one topic')
    .argument('<topic>')
    .option('--json', 'as JSON')
    .addHelpText('after', examples('topics describe nginx.access -f pipeline.yaml'))
    .action(async (topic, options) => (await import('./commands/topics.ts')).describeTopic(topic, options))
  addTopicChanges(topics)

  forWorker(program.command('consume'))
    .description('print records of a topic; without other options, those that arrive from now on')
    .argument('<topic>')
    .option('--from-beginning', 'start with the oldest record')
    .option('--max-messages <n>', 'end after so many', wholeNumber)
    .option('--timeout-ms <ms>', 'end after so long without a record', wholeNumber)
    .option('--partition <n>', 'only this partition', wholeNumber)
    .option('--offset <n>', 'start here', wholeNumber)
    .addOption(
      new Option('--format <form>', 'the value alone, or JSON with key, offset, timestamp and headers')
        .choices(['value', 'json'])
        .default('value'),
    )
    .addHelpText('after', `${examples(...CONSUME)}${STOPPED}`)
    .action(async (topic, options) => (await import('./commands/consume.ts')).consume(topic, options))
  forWorker(program.command('produce'))
    .description('write each line of standard input as a record')
    .argument('<topic>', 'must exist')
    .option('--key-separator <text>', 'what stands before the first of these is the key')
    .addHelpText('after', `${examples(...PRODUCE)}${STOPPED}`)
    .action(async (topic, options) => (await import('./commands/produce.ts')).produce(topic, options))
}

function addTopicChanges(topics: Command): void {
  forWorker(topics.command('create'))
    .description('make a topic')
    .argument('<topic>')
    .option('--partitions <n>', 'how many (default: num.partitions)', wholeNumber)
    .option('--config <name=value>', "a topic setting, Kafka's names; may be repeated", setting, {})
    .addHelpText('after', examples('topics create orders --partitions 4 --config cleanup.policy=compact'))
    .action(async (topic, options) => (await import('./commands/topic-changes.ts')).createTopic(topic, options))
  forWorker(topics.command('alter'))
    .description(
      'change settings, or add partitions; a pipeline file that declares the topic sets them anew at its start',
    )
    .argument('<topic>')
    .option('--partitions <n>', 'how many there are to be', wholeNumber)
    .option('--config <name=value>', 'a topic setting; may be repeated', setting, {})
    .option('--delete-config <name>', 'back to the default; may be repeated', named, [])
    .option('--allow-destructive', 'also what deletes records or parts those of a key')
    .addHelpText('after', examples('topics alter orders --config retention.ms=86400000 --allow-destructive'))
    .action(async (topic, options) => (await import('./commands/topic-changes.ts')).alterTopic(topic, options))
  forWorker(topics.command('delete'))
    .description('delete a topic with all its records')
    .argument('<topic>')
    .requiredOption('--yes', 'needed: there is no way back')
    .addHelpText('after', examples('topics delete orders --yes'))
    .action(async (topic, options) => (await import('./commands/topic-changes.ts')).deleteTopic(topic, options))
  forWorker(topics.command('delete-records'))
    .description('delete the records of a partition below an offset')
    .argument('<topic>')
    .requiredOption('--partition <n>', 'which one', wholeNumber)
    .option('--offset <n>', 'the first record that stays (default: none stays)', wholeNumber)
    .requiredOption('--yes', 'needed: there is no way back')
    .addHelpText('after', examples('topics delete-records orders --partition 0 --offset 1000 --yes'))
    .action(async (topic, options) => (await import('./commands/topic-changes.ts')).deleteRecords(topic, options))
}

function addLogCommands(program: Command): void {
  const log = program.command('log').description("look into a log's files without a worker, and mend them")
  log
    .command('dump')
    .description("print batches and indexes as Kafka's DumpLogSegments does")
    .argument('<dir>', 'data directory, or the folder of one partition; also one that Kafka wrote', folder)
    .option('--deep', 'records too; those of internal topics are decoded')
    .option('--json', 'a JSON object per line')
    .addHelpText('after', examples('log dump .kts-connect/nginx.access-0 --deep', 'log dump /var/lib/kafka/orders-0'))
    .action(async (dir, options) => (await import('./commands/log.ts')).dumpLog(dir, options))
  log
    .command('verify')
    .description('hold everything in a log against each other; exits with 1 when something is wrong')
    .argument('<dir>', 'data directory, or the folder of one partition; also one that Kafka wrote', folder)
    .option('--json', 'as JSON')
    .addHelpText('after', examples('log verify .kts-connect', 'log verify .kts-connect/nginx.access-0 --json'))
    .action(async (dir, options) => (await import('./commands/log.ts')).checkLog(dir, options))
  log
    .command('repair')
    .description('make a damaged log readable again; without --yes, only say what would be done')
    .argument('<dir>', 'data directory, or the folder of one partition', folder)
    .option('--yes', 'do it; damaged files are copied aside first')
    .addHelpText('after', examples('log repair .kts-connect', 'log repair .kts-connect --yes'))
    .action(async (dir, options) => (await import('./commands/log.ts')).mendLog(dir, options))
}

const CONSUME = [
  'consume nginx.access -f pipeline.yaml',
  'consume nginx.access --from-beginning --max-messages 10 --format json',
  'consume orders --partition 0 --offset 1000',
]

const PRODUCE = [
  'produce orders -f pipeline.yaml < lines.txt',
  "produce orders --key-separator ':'   # type user-1:hello",
]

const STOPPED = `
Works on the log of a stopped worker too; there is nothing to wait for then.`

const SIGNALS = [
  'signal orders-db execute-snapshot --tables public.orders,public.lines',
  'signal orders-db execute-snapshot --tables public.orders --filter "public.orders=id > 1000"',
  'signal orders-db stop-snapshot',
]

/** An unset shell variable must not put the log into the current folder. */
function folder(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected a folder, got nothing.')
  return text
}

/** The ways to say which worker is meant. */
function forWorker(command: Command): Command {
  return command
    .option('-f, --file <file>', 'the pipeline file it was started with')
    .option('--data-dir <dir>', 'its data directory (default: .kts-connect in the current folder)', folder)
    .option('--url <url>', 'its REST address')
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map(line => `  kts-connect ${line}`).join('\n')}\n`
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError('Expected a whole number from 0.')
  return value
}

/** `name=value`, gathered. */
function setting(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Expected name=value.')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}

function commaList(text: string): readonly string[] {
  return text.split(',').map(part => part.trim())
}

function named(text: string, before: readonly string[]): readonly string[] {
  return [...before, text]
}
