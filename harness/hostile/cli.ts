/**
 * The workloads on a registry that misbehaves, as `npm run hostile`: each runs in calm and in rough weather, then the
 * content that came through the rough is compared with the image unpacked from the registry itself.
 *
 *     npm run hostile -- [--workloads a,b] [--modes stargz,estargz] [--seed 1] [--no-compare] [--state-dir DIR] [--out FILE.csv]
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { stringify } from 'csv-stringify/sync';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { defaultWorkloads, workloads } from '../../workloads/catalogue.ts';
import { cellRoom } from '../cell-room.ts';
import { compareMounts } from '../equality/compare.ts';
import { messageOf } from '../error.ts';
import { benchPackages, ensurePackages } from '../host/install.ts';
import { ensureImages } from '../images/ensure.ts';
import { modes } from '../modes/catalogue.ts';
import { selectNamed } from '../options.ts';
import { recordAccesses } from '../record.ts';
import { startRegistry } from '../registry/registry.ts';
import { type HostileRun, runThrough } from './run.ts';
import { faults, mostRequests, pullPatiently, startHostileRegistry, troubleIn, writeDockerConfig } from './weather.ts';

const { values } = parseArgs({
  options: {
    workloads: { type: 'string' },
    modes: { type: 'string', default: 'stargz,estargz' },
    seed: { type: 'string', default: '1' },
    'no-compare': { type: 'boolean', default: false },
    'state-dir': { type: 'string', default: '/var/lib/stargz-bench' },
    out: { type: 'string' },
  },
});

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort(new Error(name)));
try {
  process.exitCode = (await runAll(interrupted.signal)) ? 0 : 1;
} catch (error) {
  process.stderr.write(`hostile: ${messageOf(error)}\n`);
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
}

async function runAll(signal: AbortSignal): Promise<boolean> {
  const stateDir = values['state-dir'];
  await ensurePackages(benchPackages, { step: () => {}, warn: say }, signal);
  const chosen = values.workloads === undefined ? defaultWorkloads : named('workload', workloads, values.workloads);
  const chosenModes = named('mode', modes, values.modes);
  await mkdir(stateDir, { recursive: true });
  await using stack = new AsyncDisposableStack();
  const client = new RegistryClient();
  stack.defer(() => client.close());
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  stack.defer(() => registry.close());
  const sets = await ensureImages(
    chosen,
    {
      stateDir,
      registry: registry.address,
      client,
      variants: ['stargz', 'estargz'],
      record: (workload, image, path, recordSignal) =>
        recordAccesses({ stateDir, registryAddress: registry.address, workload, image, path }, recordSignal),
      onStep: say,
    },
    signal,
  );
  const proxy = await startHostileRegistry(registry.address, Number(values.seed));
  stack.defer(() => proxy.close());
  const scratch = await mkdtemp(join(stateDir, 'hostile-'));
  stack.defer(() => rm(scratch, { recursive: true, force: true }));
  // The daemon finds it there as it would a user's.
  process.env.DOCKER_CONFIG = await writeDockerConfig(scratch, proxy.host);

  const room = cellRoom(stateDir);
  const rows: object[] = [];
  let good = true;
  for (const workload of chosen) {
    for (const mode of chosenModes) {
      const name = sets.get(workload.image.name)![mode.variant]!;
      proxy.behave({ faults: {} });
      const calm = await runThrough(proxy, room, workload, name, mode, signal);
      proxy.behave({ faults });
      const rough = await runThrough(proxy, room, workload, name, mode, signal);
      const limit = mostRequests(calm.counts, rough.counts);
      const bounded = rough.counts.requests <= limit;
      say(
        `${workload.name} ${mode.name}: ${describe(rough)}; ${calm.counts.requests} requests in calm weather, limit ${limit}`,
      );
      if (!bounded) say('  TOO MANY REQUESTS');
      const comparison = values['no-compare']
        ? undefined
        : await compareMounts(
            {
              room,
              registryAddress: registry.address,
              image: `${registry.address}/${name}`,
              lazyFrom: { registryAddress: proxy.host, image: `${proxy.host}/${name}`, pull: pullPatiently },
              daemonConfig: mode.daemonConfig!,
            },
            signal,
          );
      if (comparison !== undefined) {
        const verdict = comparison.differences.length === 0 ? 'equal' : 'DIFFERENT';
        say(`  ${comparison.entries} entries in ${comparison.layers} layers, ${verdict}`);
        for (const difference of comparison.differences) say(`  ${difference}`);
      }
      good &&= bounded && (comparison?.differences.length ?? 0) === 0;
      rows.push(
        row([workload.name, mode.name, 'calm'], calm),
        row([workload.name, mode.name, 'rough'], rough, comparison?.differences),
      );
    }
  }
  if (proxy.counts.leaks > 0) {
    say(`credentials reached the CDN ${proxy.counts.leaks} times`);
    good = false;
  }
  if (values.out !== undefined) {
    await mkdir(dirname(values.out), { recursive: true });
    await writeFile(values.out, stringify(rows, { header: true }));
  }
  return good;
}

function named<T extends { readonly name: string }>(kind: 'workload' | 'mode', known: readonly T[], text: string): T[] {
  return selectNamed(kind, known, text.split(','));
}

function describe({ counts, pullMs, runMs }: HostileRun): string {
  const { tooManyRequests, serverErrors, resets, cuts, cdnRefused } = counts;
  return (
    `ran (pull ${pullMs.toFixed(0)} ms, run ${runMs.toFixed(0)} ms) over ${counts.requests} requests, ` +
    `${troubleIn(counts)} of them retried: ${tooManyRequests} × 429, ${serverErrors} × 503, ${resets} resets, ` +
    `${cuts} cut bodies, ${cdnRefused} expired URLs`
  );
}

function row(
  [workload, mode, weather]: readonly [string, string, string],
  { counts, pullMs, runMs }: HostileRun,
  differences?: readonly string[],
) {
  return {
    workload,
    mode,
    weather,
    pull_ms: pullMs.toFixed(3),
    run_ms: runMs.toFixed(3),
    requests: counts.requests,
    retried: troubleIn(counts),
    too_many_requests: counts.tooManyRequests,
    server_errors: counts.serverErrors,
    resets: counts.resets,
    cuts: counts.cuts,
    expired_urls: counts.cdnRefused,
    unauthorized: counts.unauthorized,
    differences: differences?.length,
  };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
