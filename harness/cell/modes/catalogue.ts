import type { DaemonState, Mode } from '../../run/mode.ts';
import { estargz } from './estargz.ts';
import { legacy } from './legacy.ts';
import { stargz } from './stargz.ts';

/** The modes of the comparison, in the order in which tables and charts show them. */
export const modes: readonly Mode[] = [legacy, stargz, estargz];

const moreModes: readonly Mode[] = [
  {
    ...estargz,
    name: 'estargz-noopt',
    title: 'estargz without an access record: in the order of the archive, with no landmark to prefetch to',
    variant: 'estargz-noopt',
  },
  {
    ...estargz,
    name: 'estargz-fuse',
    title: 'estargz, mounted with FUSE',
    daemonConfig: { ...estargz.daemonConfig, mount: { backend: 'fuse' } },
  },
  {
    ...estargz,
    name: 'zstdchunked',
    title: 'estargz with zstd:chunked layers',
    variant: 'zstdchunked',
  },
  {
    name: 'erofs',
    title: "original gzip layers, each written as one EROFS image (containerd's erofs snapshotter, 2.1 and later)",
    variant: 'legacy',
    snapshotter: 'erofs',
    daemonConfig: undefined,
  },
  {
    name: 'docker',
    title: 'original gzip layers, pulled and run by Docker Engine (overlay2)',
    variant: 'legacy',
    engine: 'docker',
    snapshotter: 'overlay2',
    daemonConfig: undefined,
  },
];

/** Every mode that runs once on a cold node. */
export const firstRuns: readonly Mode[] = [...modes, ...moreModes];

/** How a mode's second run is named and what comes before it. */
const secondRuns: readonly { readonly suffix: string; readonly title: string; readonly daemonState: DaemonState }[] = [
  { suffix: '+again', title: 'once more, after the same container', daemonState: 'again' },
  { suffix: '+shared', title: 'after a container of another image that shares layers', daemonState: 'shared' },
];

/** The mode and its second runs. */
export function withSecondRuns(mode: Mode): Mode[] {
  const second = secondRuns.map(({ suffix, title, daemonState }) => ({
    ...mode,
    name: `${mode.name}${suffix}`,
    title: `${mode.name}, ${title}`,
    daemonState,
  }));
  return [mode, ...second];
}

/** Names that stand for several modes. */
export const modeGroups: Readonly<Record<string, readonly string[]>> = {
  warm: ['legacy+again', 'estargz+again', 'legacy+shared', 'estargz+shared'],
};
