/** What retention needs to know of one segment. */
export interface RetentionSegment {
  readonly baseOffset: number
  /** Offset behind its last record. */
  readonly nextOffset: number
  readonly sizeBytes: number
  /** Largest record time in it, milliseconds; -1 when it has no records. */
  readonly timestampMax: number
  /** Wall-clock time of its last append, milliseconds. */
  readonly appendedAt: number
}

export interface RetentionPolicy {
  /** False for a topic that is only compacted: it has no retention. */
  readonly deletes: boolean
  readonly retentionMs: number
  readonly retentionBytes: number
  readonly retentionUnconsumed: 'hold' | 'delete'
}

export interface RetentionDecision {
  /** Segments below this offset go. */
  readonly deleteBefore: number
  /** Records in [from, to) go although a held consumer has not committed them; only where the topic says `delete`. */
  readonly unconsumed: { readonly from: number; readonly to: number } | undefined
  /** The last segment goes too once another takes the appends. */
  readonly rollFirst: boolean
}

/**
 * Which of a partition's segments go: from the oldest on, as long as each is too old or the partition too large. `heldAt`
 * is the lowest position of the consumers that are to be waited for; Infinity when there are none. The last segment takes
 * the appends: it goes only by age, and another one has to be there first.
 */
export function decideRetention(
  segments: readonly RetentionSegment[],
  policy: RetentionPolicy,
  heldAt: number,
  now: number,
): RetentionDecision {
  let bytes = segments.reduce((sum, s) => sum + s.sizeBytes, 0)
  const start = segments[0]?.baseOffset ?? 0
  let deleteBefore = start
  let rollFirst = false
  for (const segment of policy.deletes ? segments : []) {
    const isLast = segment === segments.at(-1)
    // Record times alone would delete at once what arrives late, and a clock that jumps back makes neither old.
    const newest = Math.max(segment.timestampMax, segment.appendedAt)
    const tooOld = policy.retentionMs >= 0 && now - newest > policy.retentionMs
    const tooLarge = policy.retentionBytes >= 0 && bytes - segment.sizeBytes >= policy.retentionBytes
    if (!tooOld && (!tooLarge || isLast)) break
    if (policy.retentionUnconsumed === 'hold' && segment.nextOffset > heldAt) break
    if (isLast && segment.sizeBytes === 0) break
    rollFirst = isLast
    deleteBefore = segment.nextOffset
    bytes -= segment.sizeBytes
  }
  const lostFrom = Math.max(start, heldAt)
  const unconsumed = lostFrom < deleteBefore ? { from: lostFrom, to: deleteBefore } : undefined
  return { deleteBefore, unconsumed, rollFirst }
}
