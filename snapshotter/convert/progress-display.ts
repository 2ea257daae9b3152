import type { ConvertProgress } from './progress.ts';

export interface ProgressDisplay {
  show(progress: ConvertProgress): void;
  /** Clears the status line, so that other output starts on an empty line. */
  end(): void;
}

type DisplayStream = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'>;

/** Prints a line per finished layer and, on a terminal, redraws one status line. `now`: monotonic, in milliseconds. */
export function progressDisplay(stream: DisplayStream, now: () => number = () => performance.now()): ProgressDisplay {
  const underWay = new Map<number, string>();
  const workDone = new Map<number, number>();
  const startMs = now();
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  const wipe = (): void => {
    if (stream.isTTY) stream.write('\r\u001b[2K');
  };
  return {
    show(progress) {
      const name = `layer ${progress.layer + 1}/${progress.layerCount} ${progress.source.slice(7, 19)}`;
      workDone.set(progress.layer, workOf(progress) * progress.sourceBytes);
      if (progress.phase === 'done') {
        underWay.delete(progress.layer);
        wipe();
        stream.write(`${name}  ${formatMegabytes(progress.totalBytes)}  ${progress.outcome}\n`);
      } else {
        underWay.set(progress.layer, `${name} ${describe(progress)}`);
      }
      const nowMs = now();
      if (!stream.isTTY || nowMs - drawnAtMs < 100) return;
      drawnAtMs = nowMs;
      wipe();
      const total = describeTotal([...workDone.values()], progress.imageBytes, nowMs - startMs);
      stream.write([total, ...underWay.values()].join('   ').slice(0, stream.columns - 1));
    },
    end: wipe,
  };
}

/** Shares of the work on a layer, by its phases: compressing takes the most. */
const shares = { fetch: 0.25, convert: 0.65, push: 0.1 };

/** From 0 to 1. */
function workOf(progress: ConvertProgress): number {
  if (progress.phase === 'done') return 1;
  if (progress.phase === 'cached') return shares.fetch + shares.convert;
  const part = progress.totalBytes === 0 ? 1 : Math.min(1, progress.doneBytes / progress.totalBytes);
  const before = { fetch: 0, convert: shares.fetch, push: shares.fetch + shares.convert };
  return before[progress.phase] + part * shares[progress.phase];
}

/** An estimate from less would jump. */
const minElapsedMs = 2_000;
const minShare = 0.02;

function describeTotal(done: readonly number[], imageBytes: number, elapsedMs: number): string {
  const doneBytes = done.reduce((sum, bytes) => sum + bytes, 0);
  const share = imageBytes === 0 ? 1 : Math.min(1, doneBytes / imageBytes);
  const text = `${Math.floor(100 * share)} % of ${formatMegabytes(imageBytes)}`;
  if (elapsedMs < minElapsedMs || share < minShare) return text;
  const seconds = Math.ceil((elapsedMs * (1 - share)) / share / 1000);
  return `${text}, ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} left`;
}

function describe(progress: Exclude<ConvertProgress, { phase: 'done' }>): string {
  if (!('doneBytes' in progress)) return progress.phase;
  const { phase, doneBytes, totalBytes } = progress;
  return `${phase} ${formatMegabytes(Math.min(doneBytes, totalBytes))} of ${formatMegabytes(totalBytes)}`;
}

function formatMegabytes(sizeBytes: number): string {
  return `${(sizeBytes / 1e6).toFixed(1)} MB`;
}
