import { errorCode, errorMessage, KtsError } from '../../runtime/api/index.ts'

/** Where an S3 request went, for its error. */
export interface S3Target {
  readonly bucket: string
  readonly key: string
  readonly region: string
  readonly endpoint: string | undefined
}

/** The part of an SDK error that is looked at; anything may be missing. */
interface S3Failure {
  readonly name?: string
  readonly Code?: string
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
  readonly $response?: { readonly statusCode?: number }
}

/** Answers that pass by themselves (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html). */
const PASSING: ReadonlySet<string> = new Set([
  'InternalError',
  'OperationAborted',
  'RequestTimeout',
  'ServiceUnavailable',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'BadDigest',
  'IncompleteBody',
  'TimeoutError',
  'NetworkingError',
])

const NETWORK: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_SOCKET',
])

interface Remedy {
  readonly code: string
  readonly hint: (target: S3Target) => string
}

const credentials: Remedy = {
  code: 'ACCESS_DENIED',
  hint: () => 'check aws.access.key.id and aws.secret.access.key (or the environment the AWS SDK reads them from)',
}
const denied: Remedy = { code: 'ACCESS_DENIED', hint: target => `allow it: ${policyFor(target)}` }
const expired: Remedy = { code: 'CREDENTIALS_EXPIRED', hint: () => 'renew the session token' }
/** A restart mends it once the bucket is there, so this is not CONFIG_INVALID, which nothing tries again. */
const noBucket: Remedy = {
  code: 'BUCKET_MISSING',
  hint: ({ bucket, region }) =>
    `create the bucket (aws s3 mb s3://${bucket} --region ${region}) or mend s3.bucket.name`,
}
const region: Remedy = {
  code: 'CONFIG_INVALID',
  hint: ({ region }) => `the bucket is not in s3.region ${region}; set the one that the message or the console names`,
}

const REMEDIES: Readonly<Record<string, Remedy>> = {
  AccessDenied: denied,
  AllAccessDisabled: denied,
  Forbidden: denied,
  InvalidAccessKeyId: credentials,
  SignatureDoesNotMatch: credentials,
  CredentialsProviderError: credentials,
  ExpiredToken: expired,
  TokenRefreshRequired: expired,
  RequestTimeTooSkewed: {
    code: 'CLOCK_SKEWED',
    hint: () =>
      "this machine's clock differs from the store's by more than 15 minutes; set it (timedatectl set-ntp true)",
  },
  NoSuchBucket: noBucket,
  InvalidBucketName: { ...noBucket, code: 'CONFIG_INVALID' },
  PermanentRedirect: region,
  AuthorizationHeaderMalformed: region,
  IllegalLocationConstraintException: region,
  NoSuchUpload: {
    code: 'UPLOAD_LOST',
    hint: () => 'somebody or a lifecycle rule removed the unfinished upload; the object is written anew',
  },
  EntityTooSmall: { code: 'CONFIG_INVALID', hint: () => 'raise s3.part.size' },
  EntityTooLarge: { code: 'CONFIG_INVALID', hint: () => 'lower flush.bytes or s3.part.size' },
}

/** What S3 calls the error; `UnknownError` and the like when it was no S3 answer at all. */
export function s3Code(error: unknown): string {
  const { name, Code } = error as S3Failure
  return Code ?? name ?? 'Unknown'
}

/** A KtsError that names bucket, key, S3's code, request id and what to do; `RETRIABLE` for what passes by itself. */
export function s3Error(action: string, target: S3Target, error: unknown): KtsError {
  if (error instanceof KtsError) return error
  const code = s3Code(error)
  const { $metadata, $response } = error as S3Failure
  const status = $metadata?.httpStatusCode ?? $response?.statusCode
  const remedy = REMEDIES[code] ?? remedyForStatus(status)
  const passing = remedy === undefined && passes(error, code, status)
  const place = target.endpoint === undefined ? '' : ` at ${target.endpoint}`
  const request = $metadata?.requestId === undefined ? '' : `, request ${$metadata.requestId}`
  const said = `${code}${status === undefined ? '' : ` (HTTP ${status})`}${request}: ${firstLine(errorMessage(error))}`
  const advice =
    remedy?.hint(target) ?? (passing ? passingHint(target, status) : 'the store refused it; see its message')
  return new KtsError(
    remedy?.code ?? (passing ? 'RETRIABLE' : 'S3_REFUSED'),
    `${action} s3://${target.bucket}/${target.key}${place}: ${said}; ${advice}`,
    // Not the SDK's error itself: it carries the socket and the signed headers, and would end up in a log.
    { details: { bucket: target.bucket, key: target.key, s3Code: code, httpStatus: status } },
  )
}

/** Read by those who only check a configuration as well. */
function passingHint({ endpoint }: S3Target, status: number | undefined): string {
  const again = 'a running pipeline tries again by itself'
  if (status !== undefined) return again
  return `check the network${endpoint === undefined ? '' : ' and store.url'}; ${again}`
}

function remedyForStatus(status: number | undefined): Remedy | undefined {
  if (status === 301 || status === 307) return region
  if (status === 401 || status === 403) return denied
  return undefined
}

/** No answer, half an answer, an answer that is not S3's, or one that says "later". */
function passes(error: unknown, code: string, status: number | undefined): boolean {
  if (PASSING.has(code) || NETWORK.has(errorCode(error)) || NETWORK.has(code)) return true
  if (status === undefined) return !(error instanceof TypeError || error instanceof RangeError)
  if (status < 300) return true
  return (status >= 500 && status !== 501) || status === 408 || status === 429
}

function firstLine(text: string): string {
  const line = text.split('\n', 1)[0] ?? ''
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

function policyFor({ bucket }: S3Target): string {
  return JSON.stringify({
    Effect: 'Allow',
    Action: [
      's3:PutObject',
      's3:GetObject',
      's3:DeleteObject',
      's3:AbortMultipartUpload',
      's3:ListBucketMultipartUploads',
    ],
    Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`],
  })
}
