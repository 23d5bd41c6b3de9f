import { type Document, LineCounter, parseAllDocuments, type YAMLError } from 'yaml'
import type { ConfigNode } from './nodes.ts'
import { type Problems, quoted } from './problems.ts'
import { quoteHint } from './quote-hint.ts'
import { DEPTH_MAX, tooDeepLine } from './yaml-depth.ts'
import { YamlReader } from './yaml-reader.ts'

/**
 * One YAML 1.2 document (JSON is one, too) as nodes with places. Undefined when it cannot be read; why is in `problems`
 * then. Scalars are not resolved (the failsafe schema), so no number is ever rounded here.
 */
export function parseYaml(text: string, file: string, problems: Problems): ConfigNode | undefined {
  const deep = tooDeepLine(text)
  if (deep !== undefined) {
    problems.add({ file, line: deep, column: 1 }, '', `expected at most ${DEPTH_MAX} levels, got deeper nesting`)
    return undefined
  }
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    schema: 'failsafe',
    version: '1.2',
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'silent',
  })
  const placeAt = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const first = documents[0]
  if (!Array.isArray(documents) || first === undefined || (first.contents === null && first.errors.length === 0)) {
    problems.add({ file, line: 1, column: 1 }, '', 'expected a pipeline with sources and sinks, got an empty file')
    return undefined
  }
  if (reportSyntax(documents as Document.Parsed[], text, file, problems, placeAt)) return undefined
  const second = documents[1]
  if (second !== undefined) {
    problems.add(placeAt(second.range[0]), '', 'expected one document, got a second one; put it into a file of its own')
    return undefined
  }
  return new YamlReader(text, placeAt, problems).read(first as Document.Parsed)
}

/** Answers whether there was anything to report: at most one line of text is complained about once. */
function reportSyntax(
  documents: readonly Document.Parsed[],
  text: string,
  file: string,
  problems: Problems,
  placeAt: (offset: number) => { file: string; line: number; column: number },
): boolean {
  const lines = text.split('\n')
  const seen = new Set<number>()
  for (const error of documents.flatMap(document => [...document.errors, ...document.warnings])) {
    const place = placeAt(error.pos[0])
    if (seen.has(place.line)) continue
    seen.add(place.line)
    problems.add({ ...place, file }, '', syntaxMessage(error, lines[place.line - 1] ?? '', place.column))
  }
  return seen.size > 0
}

function syntaxMessage(error: YAMLError, line: string, column: number): string {
  if (error.code === 'TAB_AS_INDENT') return 'expected spaces as indentation, got a tab'
  if (error.code === 'MISSING_CHAR') return `expected the end of a quoted text or bracket; ${error.message}`
  const hint = quoteHint(line, column)
  if (error.code === 'TAG_RESOLVE_FAILED') {
    return `expected a plain value, got a YAML tag; ${hint ?? 'leave the tag out'}`
  }
  if (hint !== undefined) return `expected a value that YAML can read; ${hint}`
  // The parser's words may quote a value, which may be secret.
  return `expected valid YAML, got ${quoted(error.code.toLowerCase().replaceAll('_', ' '))}`
}
