/**
 * Times a FUSE mount against the plain directory it was made from, overlayfs over both: as a container sees them.
 *
 *     node snapshotter/fuse/mount.bench.ts DIRECTORY [ROUNDS] [OPTIONS-JSON ...]
 *
 * One column for each OPTIONS (FuseOptions), default {}. Everything is present in the store, so this is the cost of the
 * face alone. `first` is on a fresh mount, of which the kernel knows nothing yet; `again` repeats it. Best of the rounds.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { MNT_DETACH, mountFilesystem, unmountFilesystem } from '../syscalls.ts';

const [directory, roundsText, ...optionTexts] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: mount.bench.ts DIRECTORY [ROUNDS] [OPTIONS-JSON ...]');
const rounds = Number(roundsText ?? 3);
const configurations = optionTexts.length === 0 ? ['{}'] : optionTexts;

const bigFileBytes = 512 << 20;
const randomReads = 20_000;
const python = `import os, random, sys
fd = os.open(sys.argv[1], os.O_RDONLY); random.seed(1); pages = os.fstat(fd).st_size // 4096
for _ in range(${randomReads}): os.pread(fd, 4096, random.randrange(pages) * 4096)`;

const tasks: Record<string, readonly [string, ...string[]]> = {
  'find with stat': ['sh', '-c', 'find "$0" -printf "%s %m %T@\\n" > /dev/null'],
  tar: ['sh', '-c', 'tar cf - -C "$0" --exclude=./big.bin . | cat > /dev/null'],
  'sequential read': ['sh', '-c', 'dd if="$0/big.bin" of=/dev/null bs=1M status=none'],
  '4 KiB random reads': ['sh', '-c', `exec python3 -c '${python}' "$0/big.bin"`],
};

const root = mkdtempSync(join(tmpdir(), 'fuse-bench-'));
const source = join(root, 'source');
const columns = new Map<string, Map<string, number>>();
try {
  await execa('cp', ['-a', directory, source]);
  writeFileSync(join(source, 'big.bin'), Buffer.alloc(bigFileBytes, 'stargz'));
  for (let round = 0; round < rounds; round++) {
    await measure('plain', source);
    for (const options of configurations) await serve(options, (path) => measure(options, path));
  }
  print();
} finally {
  rmSync(root, { recursive: true });
}

async function serve(options: string, use: (path: string) => Promise<void>): Promise<void> {
  const script = new URL('./testing/serve-directory.ts', import.meta.url).pathname;
  const arguments_ = JSON.stringify({ ...JSON.parse(options), dataPath: join(root, 'data') });
  const child = spawn(process.execPath, [script, source, join(root, 'mnt'), arguments_], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [path] = (await once(createInterface(child.stdout), 'line')) as [string];
    await use(path);
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
}

async function measure(column: string, lower: string): Promise<void> {
  const overlay = join(root, 'overlay');
  for (const name of ['upper', 'work', 'merged']) mkdirSync(join(overlay, name), { recursive: true });
  const merged = join(overlay, 'merged');
  const data = `lowerdir=${lower},upperdir=${join(overlay, 'upper')},workdir=${join(overlay, 'work')}`;
  await mountFilesystem('overlay', merged, 'overlay', 0, data);
  try {
    for (const [name, [command, ...args]] of Object.entries(tasks))
      for (const when of ['first', 'again']) {
        const start = performance.now();
        await execa(command, [...args, merged]);
        record(`${name}, ${when}`, column, performance.now() - start);
      }
  } finally {
    await unmountFilesystem(merged, MNT_DETACH);
    rmSync(overlay, { recursive: true });
  }
}

function record(row: string, column: string, durationMs: number): void {
  const times = columns.get(column) ?? new Map<string, number>();
  columns.set(column, times.set(row, Math.min(times.get(row) ?? Number.POSITIVE_INFINITY, durationMs)));
}

function print(): void {
  const plain = columns.get('plain')!;
  for (const [column, times] of columns) {
    console.log(`\n${column}`);
    for (const [row, durationMs] of times)
      console.log(
        `  ${row.padEnd(28)} ${durationMs.toFixed(0).padStart(6)} ms  ${(durationMs / plain.get(row)!).toFixed(2)} x`,
      );
  }
}
