import type { Mode } from '../../run/mode.ts';

/** Before the image format in the name of a mode that the peer serves. */
export const peerPrefix = 'peer:';

export type DaemonState = NonNullable<Mode['daemonState']>;

/** Each lazy mode with our daemon and with the peer's, in each state. Both get the same config.toml. */
export function peerModes(formats: readonly Mode[], peer: string, states: readonly DaemonState[]): Mode[] {
  return formats.flatMap((mode) =>
    states.flatMap((daemonState) => [
      { ...mode, daemonState },
      { ...mode, name: `${peerPrefix}${mode.name}`, daemonState, peer },
    ]),
  );
}
