/** One measured comparison. Both sides run in turn in the same process run, so their ratio survives a noisy machine. */
export interface Bench {
  readonly name: string
  /** What `value` is measured in. */
  readonly unit: string
  /** The peer or limit on the other side. */
  readonly against: string
  /** Undefined: a figure to know, with no bar. */
  readonly must?: number
  readonly goal?: number
  /** Fewer runs than asked for, where one takes long. */
  readonly runsMax?: number
  /** Ratio is ours / theirs either way; here a smaller one is better. */
  readonly lowerIsBetter?: boolean
  /** Prepares what both sides share; answers the sides and how to clean up. */
  open(context: BenchContext): Promise<Sides>
}

export interface BenchContext {
  /** A fresh directory on the disk to be measured. */
  readonly directory: string
  /** Bytes of input for the throughput benchmarks. */
  readonly bytes: number
}

export interface Sides {
  /** One measurement of ours, in the bench's unit. */
  ours(): Promise<number>
  /** One of the peer; undefined when it is not installed. */
  readonly theirs: (() => Promise<number>) | undefined
  close(): Promise<void>
}

/** The line that a bench prints. */
export interface Result {
  readonly bench: string
  readonly value: number
  readonly unit: string
  readonly against: string | null
  readonly ratio: number | null
  readonly must: number | null
  readonly goal: number | null
  readonly lowerIsBetter: boolean
  readonly mustMet: boolean | null
  readonly ok: boolean | null
  readonly runs: number
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Runs both sides in turn after one warm-up each. */
export async function measure(bench: Bench, context: BenchContext, runsWanted: number): Promise<Result> {
  const runs = Math.min(runsWanted, bench.runsMax ?? runsWanted)
  const sides = await bench.open(context)
  const ours: number[] = []
  const theirs: number[] = []
  try {
    for (let run = -1; run < runs; run++) {
      const peer = await sides.theirs?.()
      const own = await sides.ours()
      if (run < 0) continue
      ours.push(own)
      if (peer !== undefined) theirs.push(peer)
    }
  } finally {
    await sides.close()
  }
  const value = median(ours)
  const ratio = theirs.length === 0 ? null : value / median(theirs)
  const lowerIsBetter = bench.lowerIsBetter ?? false
  const meets = (bar: number | undefined) =>
    ratio === null || bar === undefined ? null : lowerIsBetter ? ratio <= bar : ratio >= bar
  return {
    bench: bench.name,
    value: round(value),
    unit: bench.unit,
    against: ratio === null ? null : bench.against,
    ratio: ratio === null ? null : round(ratio),
    must: bench.must ?? null,
    goal: bench.goal ?? null,
    lowerIsBetter,
    mustMet: meets(bench.must),
    ok: meets(bench.goal),
    runs,
  }
}

function round(value: number): number {
  return Number(value.toPrecision(4))
}
