import type { Kind, Mount } from './record.ts';

export interface MountPlan {
  readonly kind: Kind;
  readonly upper: string;
  readonly work: string;
  /** Root directories of the parents, nearest first. May repeat: images repeat empty layers. */
  readonly lowers: readonly string[];
  /** For overlay mounts: userxattr, index=off. */
  readonly overlayOptions: readonly string[];
}

/** The mount that shows a snapshot, as containerd's overlayfs snapshotter would give it. */
export function planMounts(plan: MountPlan): Mount[] {
  const { kind, upper, work, overlayOptions } = plan;
  // Overlayfs refuses a repeated lower directory (ELOOP). The nearest one hides everything a farther one could show.
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
