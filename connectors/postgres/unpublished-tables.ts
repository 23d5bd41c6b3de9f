import type pg from 'pg'
import type { Logger } from '../../runtime/api/index.ts'
import { named } from './problem.ts'
import { missingTables, type PublicationOptions, type PublicationState, publicationAddition } from './publication.ts'
import type { TableFilter } from './table-filter.ts'

/**
 * Tables that the lists match and the publication does not tell of, by somebody's choice or by an oversight: neither their
 * rows nor their changes come. Each is told of once.
 */
export class UnpublishedTables {
  readonly #options: PublicationOptions
  readonly #filter: TableFilter
  readonly #log: Logger
  #told: readonly number[] = []

  constructor(options: PublicationOptions, filter: TableFilter, log: Logger) {
    this.#options = options
    this.#filter = filter
    this.#log = log
  }

  async look(client: pg.Client, state: PublicationState | undefined): Promise<void> {
    // In mode filtered they are added.
    if (state?.allTables !== false || this.#options['publication.autocreate.mode'] === 'filtered') return
    const name = this.#options['publication.name']
    const missing = await missingTables(client, name, this.#options['publish.via.partition.root'], this.#filter)
    const news = missing.filter(({ oid }) => !this.#told.includes(oid))
    this.#told = missing.map(({ oid }) => oid)
    if (news.length === 0) return
    const tables = named(news.map(({ schema, table }) => `${schema}.${table}`))
    const text = `publication ${name} does not tell of tables that the lists match, so they are not captured: ${tables}; to have them, run ${publicationAddition(name, news)}`
    // Without lists it is the publication that says what is captured.
    if (this.#filter.capturesAll) this.#log.info({ publication: name }, text)
    else this.#log.warn({ publication: name }, text)
  }
}
