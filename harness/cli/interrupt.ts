/** Why a run was asked to stop. */
export class Interrupted extends Error {
  readonly code = 'interrupted';
  readonly signalName: string;
  constructor(signalName: string) {
    super(`interrupted by ${signalName}`);
    this.name = 'Interrupted';
    this.signalName = signalName;
  }
}

const signalNames = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * The first signal aborts the run, which then cleans up. Later signals are ignored, so that a second Ctrl-C leaves no mount
 * behind.
 */
export function watchInterrupts(): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (!controller.signal.aborted) controller.abort(new Interrupted(name));
  };
  for (const name of signalNames) process.on(name, onSignal);
  return {
    signal: controller.signal,
    stop: () => {
      for (const name of signalNames) process.off(name, onSignal);
    },
  };
}
