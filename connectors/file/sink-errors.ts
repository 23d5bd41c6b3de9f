import { errorCode, KtsError } from '../../runtime/api/index.ts'

/** System errors that a restart cannot mend get words; the others keep their code, which decides. */
export function unusable(path: string, cause: unknown): unknown {
  const code = errorCode(cause)
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new KtsError('ACCESS_DENIED', `${path}: not permitted (${code}). Mend it: chown "$(id -un)" ${path}`, {
      cause,
    })
  }
  if (['EISDIR', 'ENOTDIR', 'EINVAL', 'ELOOP', 'ENAMETOOLONG'].includes(code)) {
    return new KtsError('CONFIG_INVALID', `${path}: expected a regular file (${code}); choose another for file`, {
      cause,
    })
  }
  return cause
}
