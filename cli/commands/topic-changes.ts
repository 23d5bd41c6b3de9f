import type { WorkerOptions } from '../find-worker.ts'
import type { LogAccess } from '../log-access.ts'
import { openAccess } from '../open-access.ts'
import { processOutput } from '../output.ts'
import { escapeControls } from '../text.ts'

interface Settings {
  readonly partitions?: number
  readonly config: Readonly<Record<string, string>>
}

export async function createTopic(name: string, options: WorkerOptions & Settings): Promise<void> {
  const { partitions, config } = options
  await change(options, access => access.createTopic({ name, partitions, configs: config }))
  processOutput().line(`Topic ${escapeControls(name)} is created.`)
}

export async function alterTopic(
  name: string,
  options: WorkerOptions & Settings & { readonly deleteConfig: readonly string[]; readonly allowDestructive?: boolean },
): Promise<void> {
  const { partitions, config, deleteConfig, allowDestructive } = options
  const configs = { ...Object.fromEntries(deleteConfig.map(setting => [setting, null])), ...config }
  await change(options, access => access.alterTopic(name, { partitions, configs, allowDestructive }))
  processOutput().line(`Topic ${escapeControls(name)} is changed.`)
}

export async function deleteTopic(name: string, options: WorkerOptions): Promise<void> {
  await change(options, access => access.deleteTopic(name))
  processOutput().line(`Topic ${escapeControls(name)} is deleted, with all its records.`)
}

export async function deleteRecords(
  name: string,
  options: WorkerOptions & { readonly partition: number; readonly offset?: number },
): Promise<void> {
  const { partition, offset = -1 } = options
  const start = await change(options, access => access.deleteRecords(name, partition, offset))
  processOutput().line(`${escapeControls(name)}-${partition} begins at offset ${start} now.`)
}

async function change<T>(options: WorkerOptions, work: (access: LogAccess) => Promise<T>): Promise<T> {
  const { access } = await openAccess(options)
  try {
    return await work(access)
  } finally {
    await access.close()
  }
}
