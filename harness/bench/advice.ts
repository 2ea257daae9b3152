import { basename } from 'node:path';
import type { ImportedImage } from '../../workloads/workload.ts';
import { joinWords } from '../cli/words.ts';
import type { Mode } from '../run/mode.ts';

/** How each variant is made; undefined for the image as it is. */
const formats: Readonly<Record<Mode['variant'], string | undefined>> = {
  legacy: undefined,
  stargz: 'stargz',
  'estargz-noopt': 'estargz',
  estargz: 'estargz',
  zstdchunked: 'zstd-chunked',
};
const optimised: readonly Mode['variant'][] = ['estargz', 'zstdchunked'];

/** The command that converts the user's image as `mode` had it, as one would type it; undefined where nothing is to be converted. */
export function convertCommand(image: ImportedImage, { variant }: Mode, recordPath: string): string | undefined {
  const format = formats[variant];
  if (format === undefined) return undefined;
  const record = optimised.includes(variant) ? ['--record-in', recordPath] : [];
  return `npm run convert -- ${joinWords([image.source, targetOf(image)])} --format ${joinWords([format, ...record])}`;
}

/** Beside the source where that is in a registry, which is the only place that lazy pulling works from. */
function targetOf({ name, source }: ImportedImage): string {
  if (/^(docker-daemon|oci|docker-archive):/.test(source)) return `REGISTRY/${basename(name)}:esgz`;
  const [repository = '', tag = 'latest'] = source.replace(/@.*$/, '').split(/:(?=[^/]*$)/);
  return `${repository}:${tag}-esgz`;
}

/** What makes containerd pull through our snapshotter: the lines that matter of snapshotter/deploy/, by its major version. */
export function containerdLines(majorVersion: number): readonly string[] {
  const proxy = [
    '[proxy_plugins.stargz]',
    '  type = "snapshot"',
    '  address = "/run/containerd-stargz-grpc/containerd-stargz-grpc.sock"',
  ];
  const table =
    majorVersion >= 2 ? '[plugins."io.containerd.cri.v1.images"]' : '[plugins."io.containerd.grpc.v1.cri".containerd]';
  return [...proxy, table, '  snapshotter = "stargz"', '  disable_snapshot_annotations = false'];
}
