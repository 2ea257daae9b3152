import type { Kind, Mount } from './record.ts';

export interface MountPlan {
  readonly kind: Kind;
  readonly upper: string;
  readonly work: string;
  /** Roots of the parents, the nearest first. One layer may come several times: images repeat empty layers. */
  readonly lowers: readonly string[];
  /** For overlay mounts: userxattr, index=off. */
  readonly overlayOptions: readonly string[];
}

/** The mount that shows a snapshot, as containerd's overlayfs snapshotter would give it. */
export function planMounts(plan: MountPlan): Mount[] {
  const { kind, upper, work, overlayOptions } = plan;
  // Overlayfs refuses a lower directory given twice (ELOOP). The nearest hides all that the farther one could show.
  const lowers = [...new Set(plan.lowers)];
  if (lowers.length === 0) return [bind(upper, kind === 'active' ? 'rw' : 'ro')];
  if (kind !== 'active' && lowers.length === 1) return [bind(lowers[0]!, 'ro')];
  const writable = kind === 'active' ? [`workdir=${work}`, `upperdir=${upper}`] : [];
  return [
    {
      type: 'overlay',
      source: 'overlay',
      options: [...writable, `lowerdir=${lowers.join(':')}`, ...overlayOptions],
    },
  ];
}

function bind(source: string, access: 'ro' | 'rw'): Mount {
  return { type: 'bind', source, options: [access, 'rbind'] };
}
