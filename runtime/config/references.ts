import { quoted } from './problems.ts'
import type { PropertyFiles } from './property-files.ts'

/** What `${…}` in a text came to. */
export type Resolved =
  | {
      readonly text: string /** Whether anything was put in, so that the text must not be shown. */
      readonly referred: boolean
    }
  | { readonly problem: string }

const TOKEN = /\$\$\{|\$\{([^}]*)(\}?)/g

/** `${file:…}` in a text: the paths it wants read. */
export function filesReferredTo(text: string): readonly string[] {
  const found: string[] = []
  for (const match of text.matchAll(TOKEN)) {
    const reference = parseReference(match[1] ?? '')
    if (reference?.provider === 'file') found.push(reference.path)
  }
  return found
}

/**
 * Puts in `${env:NAME}` and `${file:/path:key}`, Connect's config providers (KIP-297). What was put in is not looked at
 * again; `$${` stands for `${` itself. Unlike Connect, which leaves an unknown `${…}` as it is, that is a problem here: it
 * would be taken for a value.
 */
export function resolveReferences(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
  propertyFiles: PropertyFiles,
  folder: string,
  secret: boolean,
): Resolved {
  let problem: string | undefined
  let referred = false
  const shown = (part: string) => (secret ? '[hidden]' : quoted(part))
  const replaced = text.replaceAll(TOKEN, (whole, inner: string | undefined, end: string | undefined) => {
    if (inner === undefined) return '${'
    referred = true
    const value = end === '' ? { problem: `expected a closing } behind ${shown(whole)}` } : lookUp(inner)
    if ('text' in value) return value.text
    problem ??= value.problem
    return ''
  })
  return problem === undefined ? { text: replaced, referred } : { problem }

  function lookUp(inner: string): { text: string } | { problem: string } {
    const reference = parseReference(inner)
    if (reference === undefined) {
      const got = `got ${shown(`\${${inner}}`)}; write $\${ for these characters themselves`
      return { problem: `expected \${env:NAME} or \${file:/path:key}, ${got}` }
    }
    if (reference.provider === 'file') return propertyFiles.lookUp(folder, reference.path, reference.key)
    const value = env[reference.name]
    if (value !== undefined) return { text: value }
    return {
      problem: `expected the environment variable ${reference.name} to be set, got nothing; set it before the start`,
    }
  }
}

type Reference = { provider: 'env'; name: string } | { provider: 'file'; path: string; key: string }

function parseReference(inner: string): Reference | undefined {
  const env = /^env:([A-Za-z_]\w*)$/.exec(inner)
  if (env !== null) return { provider: 'env', name: env[1]! }
  const file = /^file:(.+):([^:]+)$/.exec(inner)
  return file === null ? undefined : { provider: 'file', path: file[1]!, key: file[2]! }
}
