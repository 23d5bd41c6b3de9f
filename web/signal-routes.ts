import type { FastifyInstance } from 'fastify'
import type { JsonObject } from '../runtime/api/index.ts'
import { badBody, objectBody } from './bodies.ts'
import type { WorkerView } from './worker-view.ts'

/**
 * `POST /kts/connectors/{name}/signals` with `{"id"?, "type", "data"?}`, Debezium's signals: answers 202 with the id and,
 * in a sentence, what will be done.
 */
export async function signalRoutes(app: FastifyInstance, { worker }: { readonly worker: WorkerView }): Promise<void> {
  app.post<{ Params: { name: string } }>('/kts/connectors/:name/signals', async ({ params, body }, reply) => {
    const { id, type, data = {} } = objectBody(body, ['id', 'type', 'data'])
    if (id !== undefined && (typeof id !== 'string' || id === '')) throw badBody('"id" must be a text')
    if (typeof type !== 'string' || type === '') throw badBody('"type" must be a text, such as execute-snapshot')
    if (typeof data !== 'object' || data === null || Array.isArray(data)) throw badBody('"data" must be a JSON object')
    return reply.code(202).send(await worker.signal(params.name, { id, type, data: data as JsonObject }))
  })
}
