import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const NOBODY = 65534

// Root reads everything, so a child under another uid does the reading.
it.skipIf(process.getuid?.() !== 0)('an unreadable file is named with its mend, and the others are read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kts-unreadable-'))
  try {
    chmodSync(folder, 0o755)
    writeFileSync(join(folder, 'closed.log'), 'secret\n', { mode: 0o600 })
    writeFileSync(join(folder, 'open.log'), 'public\n', { mode: 0o644 })
    const child = join(import.meta.dirname, 'unreadable-child.ts')
    const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', child, folder], {
      uid: NOBODY,
      gid: NOBODY,
      encoding: 'utf8',
      env: { ...process.env, HOME: folder, TMPDIR: tmpdir() },
      timeout: 30_000,
    })
    expect(stderr).toBe('')
    const { lines, counts, warnings, check } = JSON.parse(stdout) as Record<string, unknown>
    expect(lines).toEqual(['public'])
    expect(counts).toEqual({ 'files.unreadable': 1 })
    expect(warnings).toEqual([expect.stringMatching(/closed\.log: cannot be read \(EACCES.*setfacl/)])
    expect(check).toMatch(/closed\.log: EACCES.*setfacl/s)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
