import type { Peer } from '../../daemon/peer.ts';
import type { DaemonState, Mode } from '../../run/mode.ts';

/** Before the image format in the name of a mode that the peer serves. */
export const peerPrefix = 'peer:';

/** Each lazy mode with our daemon and with the peer's, in each state. Both get the same config.toml. */
export function pairedModes(formats: readonly Mode[], peer: Peer, states: readonly DaemonState[]): Mode[] {
  return formats.flatMap((mode) =>
    states.flatMap((daemonState) => [
      { ...mode, daemonState },
      { ...mode, name: `${peerPrefix}${mode.name}`, snapshotter: peer.name, daemonState, peer },
    ]),
  );
}
