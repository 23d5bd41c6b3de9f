import type { FileStat } from './files.ts'
import type { MemoryContent } from './memory-content.ts'

const DEVICE = '1'

export type MemoryNode = MemoryFile | MemoryDirectory

/** A file of MemoryFiles, whatever names it has. */
export class MemoryFile {
  readonly kind = 'file'
  readonly ino: number
  readonly content: MemoryContent
  /** Entries that name it as processes see them, and as the disk has them. */
  links = 0
  durableLinks = 0
  opens = 0
  /** Nothing refers to it any more: its room is given back, and later its number. */
  roomFreed = false
  numberFreed = false

  constructor(ino: number, content: MemoryContent) {
    this.ino = ino
    this.content = content
  }
}

export class MemoryDirectory {
  readonly kind = 'directory'
  /** Numbers of directories are not given again within a run. */
  readonly ino: number
  mtimeMs: number
  links = 0
  durableLinks = 0
  /** As processes see them, and as the disk surely has them. */
  readonly entries = new Map<string, MemoryNode>()
  readonly durable = new Map<string, MemoryNode>()

  constructor(ino: number, mtimeMs: number) {
    this.ino = ino
    this.mtimeMs = mtimeMs
  }
}

export function statOf(node: MemoryNode): FileStat {
  const { kind } = node
  const [size, mtimeMs] = kind === 'file' ? [node.content.size, node.content.mtimeMs] : [0, node.mtimeMs]
  return { kind, size, dev: DEVICE, ino: String(node.ino), mtimeMs }
}

export function partsOf(path: string): string[] {
  return path.split('/').filter(part => part !== '')
}

/** The error as the system gives it, with Node's words. */
export function systemError(code: string, call: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code, syscall: call, path })
}
