import type { ConvertProgress } from './progress.ts';

export interface ProgressDisplay {
  show(progress: ConvertProgress): void;
  /** Clears the status line, so that other output starts on an empty line. */
  end(): void;
}

/** Prints a line per finished layer and, on a terminal, redraws one status line. */
export function progressDisplay(stream: NodeJS.WriteStream): ProgressDisplay {
  const underWay = new Map<number, string>();
  let drawnAt = 0;
  const wipe = (): void => {
    if (stream.isTTY) stream.write('\r\u001b[2K');
  };
  return {
    show(progress) {
      const name = `layer ${progress.layer + 1}/${progress.layerCount} ${progress.source.slice(7, 19)}`;
      if (progress.phase === 'done') {
        underWay.delete(progress.layer);
        wipe();
        stream.write(`${name}  ${formatMegabytes(progress.totalBytes)}  ${progress.outcome}\n`);
      } else {
        underWay.set(progress.layer, `${name} ${describe(progress)}`);
      }
      const now = performance.now();
      if (!stream.isTTY || now - drawnAt < 100) return;
      drawnAt = now;
      wipe();
      stream.write([...underWay.values()].join('   ').slice(0, stream.columns - 1));
    },
    end: wipe,
  };
}

function describe(progress: Exclude<ConvertProgress, { phase: 'done' }>): string {
  if (!('doneBytes' in progress)) return progress.phase;
  const percent = progress.totalBytes === 0 ? 0 : Math.floor((100 * progress.doneBytes) / progress.totalBytes);
  return `${progress.phase} ${Math.min(100, percent)} % of ${formatMegabytes(progress.totalBytes)}`;
}

function formatMegabytes(sizeBytes: number): string {
  return `${(sizeBytes / 1e6).toFixed(1)} MB`;
}
