import { describe, expect, test } from 'vitest'
import { CATALOGUE } from '../../../cli/compose.ts'
import { loadTexts, problemsOf } from '../../support/config-fixture.ts'

/** As Java writes and reads it: comments, all three separators, blanks, continuation, escapes. */
const SOURCE = `\ufeff# connect-file-source.properties
! also a comment

name=local-file-source
connector.class : FileStreamSource
  tasks.max 1
file = /var/log/a\\ file\\
    .txt
topic=l\\u0069nes
value.converter=org.apache.kafka.connect.json.JsonConverter\r
value.converter.schemas.enable=false`

const load = (text: string) => ({ '/p/source.properties': text })
const options = { catalogue: CATALOGUE, inputs: ['/p/source.properties'] }

describe('a properties file of connect-standalone', () => {
  test('is a pipeline file as it stands', async () => {
    const { sources } = await loadTexts(load(SOURCE), options)
    expect(sources).toHaveLength(1)
    expect(sources[0]).toMatchObject({
      name: 'local-file-source',
      connector: { name: 'file' },
      options: { paths: ['/var/log/a file.txt'], topic: 'lines' },
      common: { 'tasks.max': 1, 'value.converter.schemas.enable': false },
    })
  })

  test('has its problems told where they stand', async () => {
    const wrong = `${SOURCE}\nflush.sice=1\n# once more\ntopic=other`
    expect(await problemsOf(load(wrong), options)).toEqual([
      expect.stringMatching(/^\/p\/source\.properties:12:1 .*flush\.sice: expected an option of source file/),
      expect.stringMatching(/^\/p\/source\.properties:14:1 .*topic: expected the option once, got it also at .*:9:1/),
    ])
  })

  test('that is no connector, or empty, is refused', async () => {
    expect(await problemsOf(load('bootstrap.servers=localhost:9092'), options)).toEqual([
      "/p/source.properties:1:1 expected a connector's configuration with a line connector.class=…, got no such line",
    ])
    expect(await problemsOf(load('# nothing'), options)).toEqual([expect.stringContaining('got an empty file')])
  })

  test('in a folder is left alone: it may hold secrets', async () => {
    const yaml = 'sources: { a: { type: file, paths: [x.log], topic: t } }\n'
    const files = { '/p/a.yaml': yaml, '/p/secrets.properties': 'password=x' }
    const { sources } = await loadTexts(files, { inputs: ['/p'] })
    expect(sources.map(({ name }) => name)).toEqual(['a'])
  })
})
