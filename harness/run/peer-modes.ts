import type { Peer } from '../daemon/peer.ts';
import type { Variant } from '../images/variants.ts';
import type { Mode } from './mode.ts';

/** A peer's modes, one for each variant that it can pull: `go-stargz:estargz`. */
export function peerModes(peer: Peer): Mode[] {
  return peer.variants.map((variant) => ({
    name: `${peer.name}:${variant}`,
    title: `${peer.title}, ${variant} image`,
    variant: variant as Variant,
    snapshotter: peer.name,
    daemonConfig: { ...peer.config, ...peer.variantConfig[variant] },
    peer,
  }));
}
