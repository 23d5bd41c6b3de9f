import type { FamilySpec, OptionSpec, OptionSpecs } from '../api/index.ts'
import { spellings } from './option-reader.ts'
import { DURATION_PATTERN, SIZE_PATTERN } from './units.ts'

export type JsonSchema = Readonly<Record<string, unknown>>

interface Branch {
  leaf: JsonSchema | undefined
  readonly children: Map<string, Branch>
  /** Of families: patterns of what may follow here, dotted. */
  readonly patterns: Record<string, JsonSchema>
  /** A part that is not in the declaration follows here. */
  isOpen: boolean
}

function newBranch(): Branch {
  return { leaf: undefined, children: new Map(), patterns: {}, isOpen: false }
}

/**
 * Options as an object schema in which `a.b.c`, `a: { b.c }`, `a.b: { c }` and `a: { b: { c } }` are all valid: each inner
 * prefix becomes one definition that the spellings share.
 */
export class SchemaTree {
  readonly #name: string
  readonly #defs: Record<string, JsonSchema>
  readonly #root = newBranch()

  /** `name` begins the names of its definitions, which go into `defs`. */
  constructor(name: string, defs: Record<string, JsonSchema>) {
    this.#name = name
    this.#defs = defs
  }

  add(specs: OptionSpecs): void {
    for (const [spelling, name] of spellings(specs)) {
      let branch = this.#root
      for (const part of spelling.split('.')) branch = childOf(branch, part)
      branch.leaf ??= valueSchema(specs[name]!, spelling === name ? undefined : name)
    }
    for (const [name, spec] of Object.entries(specs)) if (spec.type === 'family') this.#addFamily(name, spec)
  }

  #addFamily(name: string, spec: FamilySpec): void {
    const parts = name.split('.')
    const leaf = valueSchema(spec, undefined)
    let branch = this.#root
    let { pattern } = spec
    for (const part of parts.slice(
      0,
      parts.findIndex(part => part.startsWith('<')),
    )) {
      branch.patterns[`^${pattern}$`] = leaf
      branch = childOf(branch, part)
      pattern = pattern.slice(`${part}\\.`.length)
    }
    branch.patterns[`^${pattern}$`] = leaf
    branch.isOpen = true
  }

  /** `more`: properties beside the options. */
  schema(more: Readonly<Record<string, JsonSchema>> = {}): JsonSchema {
    return this.#object(this.#root, this.#name, more)
  }

  #object(branch: Branch, id: string, more: Readonly<Record<string, JsonSchema>>): JsonSchema {
    const properties: Record<string, JsonSchema> = { '<<': {}, ...more }
    this.#collect(branch, id, '', properties)
    const patterns = Object.keys(branch.patterns).length > 0 && { patternProperties: branch.patterns }
    return { type: 'object', properties, ...patterns, ...(branch.isOpen ? {} : { additionalProperties: false }) }
  }

  /** Every node below, by its dotted path from here. */
  #collect(branch: Branch, id: string, prefix: string, properties: Record<string, JsonSchema>): void {
    for (const [part, child] of branch.children) {
      const key = prefix + part
      const childId = `${id}.${part}`
      const nested = child.children.size > 0 || child.isOpen ? [this.#reference(child, childId)] : []
      const forms = [...(child.leaf === undefined ? [] : [child.leaf]), ...nested]
      properties[key] = forms.length === 1 ? forms[0]! : { anyOf: forms }
      this.#collect(child, childId, `${key}.`, properties)
    }
  }

  #reference(branch: Branch, id: string): JsonSchema {
    const name = `${id}:nested`
    this.#defs[name] ??= this.#object(branch, id, {})
    return { $ref: `#/$defs/${name}` }
  }
}

function childOf(branch: Branch, part: string): Branch {
  const child = branch.children.get(part) ?? newBranch()
  branch.children.set(part, child)
  return child
}

const REFERENCE = { type: 'string', pattern: '\\$\\{(env|file):' }
const SCALAR = { type: ['string', 'number', 'boolean'] }

/** What YAML may say for the option. `aliasOf`: the spelling described is another name for that option. */
export function valueSchema(spec: OptionSpec, aliasOf: string | undefined): JsonSchema {
  const forms = [...formsOf(spec), ...(spec.default === null ? [{ type: 'null' }] : [])]
  const doc = aliasOf === undefined ? spec.doc : `The same as ${aliasOf}. ${spec.doc}`
  return {
    description: doc,
    ...(spec.default !== undefined && spec.default !== null && spec.type !== 'secret' && { default: spec.default }),
    ...(spec.examples !== undefined && spec.type !== 'secret' && { examples: spec.examples }),
    ...(forms.length === 1 ? forms[0] : { anyOf: forms }),
  }
}

function formsOf(spec: OptionSpec): readonly JsonSchema[] {
  switch (spec.type) {
    case 'string':
    case 'secret':
    case 'path':
      return [SCALAR]
    case 'enum':
      return [{ enum: spec.values }, REFERENCE]
    case 'boolean':
      return [{ type: 'boolean' }, { type: 'string', pattern: '^([tT][rR][uU][eE]|[fF][aA][lL][sS][eE])$' }, REFERENCE]
    case 'integer':
      return [{ type: 'integer', ...limits(spec) }, { type: 'string', pattern: '^[-+]?[0-9]+$' }, REFERENCE]
    case 'number':
      return [
        { type: 'number', ...limits(spec) },
        { type: 'string', pattern: '^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$' },
        REFERENCE,
      ]
    case 'duration':
      return [
        ...none(spec),
        { type: 'integer', ...limits({ min: 0, ...spec }) },
        { type: 'string', pattern: DURATION_PATTERN },
        REFERENCE,
      ]
    case 'bytes':
      return [
        ...none(spec),
        { type: 'integer', ...limits({ min: 0, ...spec }) },
        { type: 'string', pattern: SIZE_PATTERN },
        REFERENCE,
      ]
    case 'family':
      return [...formsOf(spec.member), SCALAR]
    case 'list':
      return [{ type: 'array', items: SCALAR, ...(spec.nonEmpty === true && { minItems: 1 }) }, { type: 'string' }]
  }
}

function none(spec: { readonly unset?: boolean }): readonly JsonSchema[] {
  return spec.unset === true ? [{ enum: [-1, '-1', 'none'] }] : []
}

function limits(spec: { readonly min?: number; readonly max?: number }): JsonSchema {
  return {
    ...(spec.min !== undefined && { minimum: spec.min }),
    ...(spec.max !== undefined && { maximum: spec.max }),
  }
}
