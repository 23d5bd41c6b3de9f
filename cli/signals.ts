const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** The first signal asks for a graceful stop; a second one ends the process at once with the shell's code for it. */
export function onStopSignal(stop: (signal: NodeJS.Signals) => void, signals = Object.keys(SIGNALS)): void {
  let asked = false
  for (const signal of signals as (keyof typeof SIGNALS)[]) {
    process.on(signal, () => {
      if (asked) process.exit(SIGNALS[signal])
      asked = true
      stop(signal)
    })
  }
}

/** What the process was asked by signals. */
export interface Asked {
  /** Aborted by the first signal to stop, with its name as the reason. */
  readonly stopping: AbortSignal
  /** Called with each SIGHUP, and at once when there was one before. */
  onReload(listener: () => void): void
}

/**
 * Asked for before anything else is loaded: that alone may take a second, and a log that has to be checked longer. SIGHUP
 * means that the files are to be read again, as with other servers; on a terminal that it was closed: a stop.
 */
export function processSignals(): Asked {
  const stopping = new AbortController()
  const onTerminal = process.stdout.isTTY === true
  onStopSignal(signal => stopping.abort(signal), onTerminal ? Object.keys(SIGNALS) : ['SIGINT', 'SIGTERM'])
  let asked = false
  let reload = () => {
    asked = true
  }
  if (!onTerminal) process.on('SIGHUP', () => reload())
  return {
    stopping: stopping.signal,
    onReload(listener) {
      reload = listener
      if (asked) listener()
    },
  }
}
