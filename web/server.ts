import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { errorCode, KtsError } from '../runtime/api/index.ts'
import { type ConnectRoutesOptions, connectRoutes } from './connect-routes.ts'
import { errorBody, HttpError, httpMessage } from './errors.ts'
import { checkCaller, isLoopback } from './guard.ts'
import { signalRoutes } from './signal-routes.ts'
import { topicRoutes } from './topic-routes.ts'

export interface RestServerOptions extends Omit<ConnectRoutesOptions, 'workerId'> {
  /** Loopback only: there is no authentication. */
  readonly host: string
  /** The next free one up to ten higher is taken when it is in use; 0 takes any. */
  readonly port: number
}

export interface RestServer {
  /** `http://127.0.0.1:8083` */
  readonly url: string
  /** Ends open answers too. */
  close(): Promise<void>
}

const BODY_BYTES_MAX = 1 << 20
const CONNECTIONS_MAX = 256
const PORTS_TRIED = 11
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** Throws CONFIG_INVALID for an address that others can reach. */
export function checkRestHost(host: string): void {
  if (isLoopback(host)) return
  throw new KtsError(
    'CONFIG_INVALID',
    `rest.host.name: expected an address of this machine only (127.0.0.1, ::1 or localhost), got ${host}: the REST API has ` +
      'no authentication yet. To reach it from elsewhere, use an SSH tunnel, or put a proxy that authenticates in front of it',
  )
}

/** Rejects with CONFIG_INVALID for an address others can reach, with REST_UNAVAILABLE when no port is free. */
export async function openRestServer(options: RestServerOptions): Promise<RestServer> {
  checkRestHost(options.host)
  let workerId = ''
  const app = await buildApp({ ...options, workerId: () => workerId })
  const port = await listen(app, options.host, options.port)
  const host = options.host.includes(':') ? `[${options.host.replace(/^\[|\]$/g, '')}]` : options.host
  workerId = `${host}:${port}`
  return { url: `http://${workerId}`, close: () => app.close() }
}

async function buildApp(options: ConnectRoutesOptions): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    // A slow sender holds a connection this long, not for ever.
    requestTimeout: 30_000,
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 5000 },
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 1024 },
    frameworkErrors: (_error, _request, reply: FastifyReply) => {
      void reply.code(400).send({ error_code: 400, message: httpMessage(400) })
    },
  })
  app.server.maxConnections = CONNECTIONS_MAX
  app.addHook('onRequest', async request => checkCaller(request.headers))
  app.setErrorHandler((error, _request, reply) => {
    const body = errorBody(error)
    return reply.code(body.error_code).send(body)
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ error_code: 404, message: httpMessage(404) }))
  const known = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = known.get(url) ?? new Set()
    known.set(url, methods)
    for (const one of [method].flat()) methods.add(one)
  })
  await app.register(connectRoutes, options)
  await app.register(topicRoutes, options)
  await app.register(signalRoutes, options)
  refuseOtherMethods(app, known)
  return app
}

/** A known path with another method is 405, as Connect answers it; before its body is looked at. */
function refuseOtherMethods(app: FastifyInstance, known: ReadonlyMap<string, ReadonlySet<string>>): void {
  for (const [url, methods] of [...known]) {
    const others = METHODS.filter(method => !methods.has(method))
    const refuse = async () => {
      throw new HttpError(405, httpMessage(405))
    }
    app.route({ method: others, url, onRequest: refuse, handler: refuse })
  }
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<number> {
  const last = port === 0 ? 0 : Math.min(port + PORTS_TRIED - 1, 65535)
  for (let tried = port; tried <= last; tried++) {
    try {
      await app.listen({ host: host.replace(/^\[|\]$/g, ''), port: tried })
      const address = app.server.address()
      return typeof address === 'object' && address !== null ? address.port : tried
    } catch (error) {
      if (errorCode(error) !== 'EADDRINUSE') throw error
    }
  }
  throw new KtsError(
    'REST_UNAVAILABLE',
    `REST API: ports ${port} to ${last} of ${host} are all in use; free one or set worker.rest.port (0 takes any)`,
  )
}
