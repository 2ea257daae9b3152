import type { InspectedImage, LayerReport } from './image.ts';

/** For people: a line for the image, one per layer, one per problem. */
export function formatReport({ name, manifest, layers }: InspectedImage): string {
  const sizeBytes = sum(layers, (layer) => layer.sizeBytes);
  const head = manifest === null ? name : `${name}@${manifest.digest}  ${manifest.platform}`;
  const shares = [
    share('prefetched up to the landmarks', sum(layers, prefetchBytes), sizeBytes),
    share('hot ranges', sum(layers, hotBytes), sizeBytes),
    share(
      'TOCs',
      sum(layers, ({ toc }) => toc?.compressedBytes ?? 0),
      sizeBytes,
    ),
    share(
      'packed TOCs',
      sum(layers, ({ toc }) => toc?.packed?.sizeBytes ?? 0),
      sizeBytes,
    ),
  ];
  const lines = [
    head,
    `${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}, ${megabytes(sizeBytes)}; ${shares.join(', ')}`,
    '',
    ...table([columns, ...layers.map(row)]),
  ];
  const problems = layers.flatMap((layer, index) => layer.problems.map((problem) => `layer ${index + 1}: ${problem}`));
  return [...lines, ...verified(layers, problems.length), ...shorten(problems), ''].join('\n');
}

export function problemCount({ layers }: InspectedImage): number {
  return sum(layers, ({ problems }) => problems.length);
}

const columns = ['LAYER', 'DIGEST', 'FORMAT', 'SIZE', 'TOC DIGEST', 'FILES', 'CHUNKS', 'MEDIAN', 'LANDMARK', 'HOT'];

function row(layer: LayerReport, index: number): string[] {
  const { digest, format, sizeBytes, toc } = layer;
  const cells = [String(index + 1), short(digest), format, megabytes(sizeBytes)];
  if (toc === null) return [...cells, '-', '-', '-', '-', '-', '-'];
  const { landmark, hotRanges, chunks } = toc;
  const landmarkCell =
    landmark === null ? '-' : landmark.kind === 'none' ? 'none' : part(landmark.endOffset, sizeBytes);
  return [
    ...cells,
    `${short(toc.digest)}${toc.annotatedDigest === null ? ' (not in manifest)' : ''}`,
    String(toc.files),
    String(chunks.count),
    chunks.medianBytes === null ? '-' : kibibytes(chunks.medianBytes),
    landmarkCell,
    hotRanges === null ? '-' : `${part(hotRanges.sizeBytes, sizeBytes)}, ${hotRanges.count} ranges`,
  ];
}

function prefetchBytes({ toc }: LayerReport): number {
  return toc?.landmark?.kind === 'prefetch' ? toc.landmark.endOffset : 0;
}

function hotBytes({ toc }: LayerReport): number {
  return toc?.hotRanges?.sizeBytes ?? 0;
}

function verified(layers: readonly LayerReport[], problems: number): string[] {
  const checks = layers.flatMap(({ verification }) => (verification === null ? [] : [verification]));
  if (checks.length === 0) return [];
  const chunks = sum(checks, (check) => check.chunks);
  const bare = sum(checks, (check) => check.chunksWithoutDigest);
  const note = bare === 0 ? '' : `, of which ${bare} have none and were checked by CRC`;
  return ['', `every digest checked: ${checks.length} layers, ${chunks} chunks${note}: ${problems} wrong`];
}

const shownProblems = 20;

function shorten(problems: readonly string[]): string[] {
  if (problems.length <= shownProblems) return [...problems];
  return [...problems.slice(0, shownProblems), `and ${problems.length - shownProblems} more (--json lists all)`];
}

/** Numbers are text as well; columns are as wide as their widest cell. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}

function share(what: string, bytes: number, ofBytes: number): string {
  return `${what} ${part(bytes, ofBytes)}`;
}

function part(bytes: number, ofBytes: number): string {
  return `${megabytes(bytes)} (${ofBytes === 0 ? '0.0' : ((100 * bytes) / ofBytes).toFixed(1)} %)`;
}

function megabytes(sizeBytes: number): string {
  return `${(sizeBytes / 1e6).toFixed(1)} MB`;
}

function kibibytes(sizeBytes: number): string {
  return `${(sizeBytes / 1024).toFixed(1)} KiB`;
}

function short(digest: string): string {
  return digest.slice('sha256:'.length, 'sha256:'.length + 12);
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
