const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** The first signal asks for a graceful stop; a second one ends the process at once with the shell's code for it. */
export function onStopSignal(stop: (signal: NodeJS.Signals) => void): void {
  let asked = false
  for (const [signal, exitCode] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (asked) process.exit(exitCode)
      asked = true
      stop(signal as NodeJS.Signals)
    })
  }
}

/**
 * Aborted by the first signal, with its name as the reason. Asked for before anything else is loaded: that alone may take
 * a second, and a log that has to be checked longer.
 */
export function stopSignal(): AbortSignal {
  const stopping = new AbortController()
  onStopSignal(signal => stopping.abort(signal))
  return stopping.signal
}
