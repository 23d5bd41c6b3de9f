import type { FastifyInstance } from 'fastify'
import type { ConnectorStatus } from '../runtime/index.ts'
import { configBody, connectorInfo, connectorStatus, tasksBody } from './connect-bodies.ts'
import { HttpError, httpMessage } from './errors.ts'
import { checkAccept } from './guard.ts'
import type { ConnectorConfig, WorkerView } from './worker-view.ts'

export interface ConnectRoutesOptions {
  readonly worker: WorkerView
  /** Those of the moment: a reload changes them. */
  readonly connectors: () => readonly ConnectorConfig[]
  readonly version: string
  readonly clusterId: string
  /** `host:port` of this server, Connect's worker id; known only once it listens. */
  readonly workerId: () => string
}

interface Named {
  Params: { name: string }
}

/** Kafka Connect's read-only endpoints. What would change a connector answers 405: connectors come from the files. */
export async function connectRoutes(app: FastifyInstance, options: ConnectRoutesOptions): Promise<void> {
  const { worker, workerId } = options
  app.addHook('onRequest', async request => checkAccept(request.headers.accept))

  app.get('/', () => ({ version: options.version, commit: 'unknown', kafka_cluster_id: options.clusterId }))
  app.get('/health', () => ({
    status: 'healthy',
    message: 'Worker has completed startup and is ready to handle requests.',
  }))

  const find = async (name: string, missing: string): Promise<[ConnectorConfig, ConnectorStatus]> => {
    const config = options.connectors().find(connector => connector.name === name)
    const status = (await worker.status()).connectors.find(connector => connector.name === name)
    if (config === undefined || status === undefined) throw new HttpError(404, missing)
    return [config, status]
  }
  const known = (name: string) => find(name, `Connector ${name} not found`)

  app.get<{ Querystring: { expand?: string | string[] } }>('/connectors', async request => {
    const { expand } = request.query
    if (expand === undefined) return options.connectors().map(connector => connector.name)
    const { connectors } = await worker.status()
    const bodies = options.connectors().flatMap(config => {
      const status = connectors.find(connector => connector.name === config.name)
      return status === undefined ? [] : [[config.name, expanded([expand].flat(), config, status, workerId())] as const]
    })
    return Object.fromEntries(bodies)
  })
  app.get<Named>('/connectors/:name', async request => connectorInfo(...(await known(request.params.name))))
  app.get<Named>('/connectors/:name/config', async request => configBody((await known(request.params.name))[0]))
  app.get<Named>('/connectors/:name/tasks', async request => tasksBody(...(await known(request.params.name))))
  app.get<Named>('/connectors/:name/status', async ({ params: { name } }) => {
    const [config, status] = await find(name, `No status found for connector ${name}`)
    return connectorStatus(config, status, workerId())
  })
  app.get<{ Params: { name: string; task: string } }>('/connectors/:name/tasks/:task/status', async ({ params }) => {
    if (!/^\d+$/.test(params.task)) throw new HttpError(404, httpMessage(404))
    const missing = `No status found for task ${params.name}-${params.task}`
    const [config, status] = await find(params.name, missing)
    const task = connectorStatus(config, status, workerId()).tasks.find(({ id }) => id === Number(params.task))
    if (task === undefined) throw new HttpError(404, missing)
    return task
  })
  app.get<Named>('/connectors/:name/topics', async ({ params: { name } }) => {
    const status = (await worker.status()).connectors.find(connector => connector.name === name)
    return { [name]: { topics: status?.topics ?? [] } }
  })
}

function expanded(wanted: readonly string[], config: ConnectorConfig, status: ConnectorStatus, workerId: string) {
  return {
    ...(wanted.includes('status') ? { status: connectorStatus(config, status, workerId) } : {}),
    ...(wanted.includes('info') ? { info: connectorInfo(config, status) } : {}),
  }
}
