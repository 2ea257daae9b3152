/**
 * The emulated link, with and without slow start, beside the kernel's own TCP (Reno) between two network namespaces, whose packets a
 * program carries at the same round trip and rate: time to fetch some bytes over a new connection, median of nine. Needs root and
 * /dev/net/tun.
 *
 *     node harness/link/kernel-link.bench.ts [RTT_MS [BANDWIDTH_MBPS]]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { median, sortSamples } from '../../measurements/stats/median.ts';
import { startLink } from './link.ts';

const sizes = [1e3, 14e3, 50e3, 200e3, 1e6, 4e6, 16e6];
const rounds = 9;
const [rttText = '30', bandwidthText = '200'] = process.argv.slice(2);
const [rttMs, bandwidthMbps] = [Number(rttText), Number(bandwidthText)];
const program = fileURLToPath(new URL('testing/transfer.ts', import.meta.url));
const carrier = fileURLToPath(new URL('testing/tun-link.py', import.meta.url));
const [near, far] = [`sb-near-${process.pid}`, `sb-far-${process.pid}`];

await using stack = new AsyncDisposableStack();
const none = await overEmulation(undefined);
const slow = await overEmulation({ lossShare: 0 });
const kernel = await overKernel();
console.log(`ms over a new connection, ${rttMs} ms, ${bandwidthMbps} Mbit/s, median of ${rounds}\n`);
console.log('     bytes   emulated   slow start   kernel');
for (const [index, size] of sizes.entries()) {
  const cell = (column: readonly number[], width: number) => column[index]!.toFixed(0).padStart(width);
  console.log(`${String(size).padStart(10)}${cell(none, 11)}${cell(slow, 13)}${cell(kernel, 9)}`);
}

async function overEmulation(tcp: { lossShare: number } | undefined): Promise<number[]> {
  const server = startServer([], '127.0.0.1');
  const port = await firstLine(server);
  const link = await startLink({ target: `127.0.0.1:${port}`, rttMs, bandwidthMbps, tcp });
  try {
    return await fetchAll([], '127.0.0.1', link.address.split(':')[1]!);
  } finally {
    await link.close();
    server.kill();
  }
}

async function overKernel(): Promise<number[]> {
  for (const namespace of [near, far]) {
    await execa('ip', ['netns', 'add', namespace]);
    stack.defer(async () => void (await execa('ip', ['netns', 'del', namespace])));
  }
  const link = spawn('python3', [carrier, near, far, String(rttMs), String(bandwidthMbps)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  stack.defer(() => void link.stdin!.end());
  await firstLine(link);
  for (const [namespace, address] of [
    [near, '10.77.0.1'],
    [far, '10.77.0.2'],
  ] as const) {
    const inside = (...args: string[]) => execa('ip', ['netns', 'exec', namespace, ...args]);
    await inside('ip', 'address', 'add', `${address}/24`, 'dev', 'link0');
    await inside('ip', 'link', 'set', 'link0', 'up', 'txqueuelen', '10000');
    // The one that every kernel lets a namespace choose. Without loss they differ little.
    await inside('sysctl', '-q', '-w', 'net.ipv4.tcp_congestion_control=reno');
    // Or the kernel remembers the slow start threshold of the last connection.
    await inside('sysctl', '-q', '-w', 'net.ipv4.tcp_no_metrics_save=1');
  }
  const server = startServer(['ip', 'netns', 'exec', near], '10.77.0.1');
  try {
    return await fetchAll(['ip', 'netns', 'exec', far], '10.77.0.1', await firstLine(server));
  } finally {
    server.kill();
    link.stdin!.end();
    await once(link, 'exit');
  }
}

function startServer(prefix: readonly string[], host: string): ChildProcess {
  const [command = '', ...args] = [...prefix, process.execPath, program, 'server', host];
  return spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function fetchAll(prefix: readonly string[], host: string, port: string): Promise<number[]> {
  const bySize: number[][] = sizes.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const [command = '', ...args] = [...prefix, process.execPath, program, 'client', host, port, ...sizes.map(String)];
    const { stdout } = await execa(command, args);
    for (const [index, duration] of (JSON.parse(stdout) as number[]).entries()) bySize[index]!.push(duration);
  }
  return bySize.map((durations) => median(sortSamples(durations)!));
}

async function firstLine(child: ChildProcess): Promise<string> {
  const [bytes] = (await once(child.stdout!, 'data')) as [Buffer];
  return bytes.toString().trim();
}
