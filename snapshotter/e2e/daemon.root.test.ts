import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startDaemon } from '../../testkit/daemon.ts';
import { undoAfter } from '../../testkit/lifetime.ts';
import { mountPoints } from '../../testkit/mounts.ts';
import { openNotifySocket } from '../../testkit/notify-socket.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { openClient } from '../api/client.ts';
import type { StatusDocument } from '../api/status.ts';

const run = promisify(execFile);
const limit = { timeout: 60_000 };
/** FUSE has one mount from the start. How a face is chosen is tested below. */
const fuse = '[mount]\nbackend = "fuse"\n';
const main = join(import.meta.dirname, '../main.ts');

/** Runs main.ts to its end. */
async function runMain(...args: string[]) {
  const done = run(process.execPath, [main, ...args], { timeout: 30_000 });
  return done.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      stdout: error.stdout,
      stderr: error.stderr,
    }),
  );
}

test('a daemon that gets several signals stops once', limit, async (t) => {
  const directory = openScratch(t, 'dm');
  const daemon = await startDaemon(t, directory, { config: fuse });
  const stopped = [daemon.stop('SIGTERM'), daemon.stop('SIGTERM'), daemon.stop('SIGINT')];
  assert.deepEqual(await Promise.all(stopped), [0, 0, 0]);
  assert.deepEqual(mountPoints(directory), []);
  assert.equal(daemon.status().state, 'stopped');
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} unmounts everything, exits 0 and keeps the snapshots`, limit, async (t) => {
    const directory = openScratch(t, 'dm');
    const daemon = await startDaemon(t, directory, { config: fuse });
    const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
    await client.prepare({ key: 'kept' });
    await client.prepare({ key: 'removed' });
    await client.remove({ key: 'removed' });
    client.close();
    assert.equal(mountPoints(directory).length, 1);
    assert.equal(await daemon.stop(signal), 0);
    assert.deepEqual(mountPoints(directory), []);
    // SIGINT also cleans up, as containerd-stargz-grpc does; SIGTERM leaves that to the next start.
    assert.deepEqual(readdirSync(join(directory, 'root/snapshots')), signal === 'SIGINT' ? ['1'] : ['1', '2']);

    const again = await startDaemon(t, directory, { config: fuse });
    const second = openClient('containerd.services.snapshots.v1.Snapshots', again.address);
    undoAfter(t, () => second.close());
    assert.equal((await second.stat({ key: 'kept' })).info?.kind, 'ACTIVE');
    assert.deepEqual(readdirSync(join(directory, 'root/snapshots')), ['1']);
  });
}

test('after SIGKILL the next daemon takes over socket, mount and snapshots', limit, async (t) => {
  const directory = openScratch(t, 'dm');
  const daemon = await startDaemon(t, directory, { config: fuse });
  const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  await client.prepare({ key: 'kept' });
  client.close();
  await daemon.stop('SIGKILL');
  const again = await startDaemon(t, directory, { config: fuse });
  const second = openClient('containerd.services.snapshots.v1.Snapshots', again.address);
  undoAfter(t, () => second.close());
  assert.equal((await second.mounts({ key: 'kept' })).mounts[0]?.type, 'bind');
  assert.equal(mountPoints(directory).length, 1);
});

test('a second daemon on the same root is refused and leaves the first alone', limit, async (t) => {
  const directory = openScratch(t, 'dm');
  const daemon = await startDaemon(t, directory, { config: fuse });
  const second = await runMain('--root', join(directory, 'root'), '--address', join(directory, 'other.sock'));
  assert.equal(second.code, 1);
  assert.match(
    second.stderr,
    /^containerd-stargz-grpc: open the snapshot database .*another daemon uses this root.*\n$/,
  );
  const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  undoAfter(t, () => client.close());
  await client.prepare({ key: 'still-served' });
  assert.equal(mountPoints(directory).length, 1);
});

test('bad flags and configurations get one line and exit status 1', limit, async (t) => {
  const directory = openScratch(t, 'dm');
  const config = join(directory, 'config.toml');
  writeFileSync(config, '[blob]\nmax_retries = "many"');
  const root = ['--root', join(directory, 'root'), '--address', join(directory, 's.sock')];
  for (const [args, message] of [
    [['--nosuch'], /nosuch.*--help lists the options/],
    [[...root, '--log-level', 'loud'], /--log-level: expected one of/],
    [[...root, '--config', join(directory, 'absent.toml')], /absent\.toml: cannot be read/],
    [[...root, '--config', config], /config\.toml: blob\.max_retries: expected an integer/],
    [['--root', join(config, 'below-a-file')], /--root: ENOTDIR.*choose another/],
  ] as const) {
    const { code, stderr } = await runMain(...args);
    assert.equal(code, 1, stderr);
    assert.match(stderr, message);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  }
  assert.deepEqual(mountPoints(directory), []);
});

test('mount.backend = "auto" takes EROFS where it works and no option rules it out, and says why', limit, async (t) => {
  for (const [config, why] of [
    ['', /holes are asked for by range|EROFS mount|in a container/],
    ['record_accesses = "/dev/null"', /holes are asked for by range|EROFS mount|in a container/],
  ] as const) {
    const directory = openScratch(t, 'dm');
    const daemon = await startDaemon(t, directory, { config });
    const { kind, reason, configured } = daemon.status().face!;
    assert.match(reason, why);
    assert.equal(kind, reason.includes('holes are asked for by range') ? 'erofs' : 'fuse');
    assert.equal(configured, 'auto');
    assert.equal(await daemon.stop('SIGTERM'), 0);
    assert.deepEqual(mountPoints(directory), []);
    assert.ok(!existsSync(join(directory, 'root/keeper.sock')), 'a keeper with nothing to keep stayed');
  }
});

test('systemd is notified when the daemon serves and when it stops', limit, async (t) => {
  const directory = openScratch(t, 'dm');
  const [notify, socket] = [join(directory, 'notify'), join(directory, 's.sock')];
  const received = await openNotifySocket(t, notify, 2, socket);
  const daemon = await startDaemon(t, directory, { config: fuse, address: socket, env: { NOTIFY_SOCKET: notify } });
  assert.equal(await daemon.stop('SIGTERM'), 0);
  const [ready, stopping] = await received();
  assert.equal(ready, 'READY=1 and serving');
  assert.match(stopping ?? '', /^STOPPING=1/);
});

test('the CRI image service is served on listen_path, even if that is the socket of the daemon', limit, async (t) => {
  for (const name of ['s.sock', '../cri.sock', 'cri.sock', '']) {
    const directory = join(openScratch(t, 'dm'), 'd');
    const socket = join(directory, 's.sock');
    const path = name === '' ? '' : `${directory}/${name}`;
    const config = `${fuse}[cri_keychain]\nenable_keychain = true\nimage_service_path = "/nobody"\nlisten_path = "${path}"\n`;
    const daemon = await startDaemon(t, directory, { config, address: socket });
    const images = openClient('runtime.v1.ImageService', path === '' ? socket : path);
    try {
      // The call reached the proxy, whose containerd does not exist.
      await assert.rejects(images.listImages({}), { code: 'UNAVAILABLE', message: /nobody/ });
    } finally {
      images.close();
      assert.equal(await daemon.stop(), 0);
    }
  }
});

test('--version and --help print on standard output', limit, async () => {
  const version = await runMain('--version');
  assert.deepEqual([version.code, version.stderr], [0, '']);
  assert.match(version.stdout, /^containerd-stargz-grpc \d+\.\d+\.\d+ \(stargz-bench\)\n$/);
  assert.match((await runMain('--help')).stdout, /--address PATH/);
});

test('metrics and layers are served where metrics_address says', limit, async (t) => {
  const directory = openScratch(t, 'dm');
  const config = 'metrics_address = "127.0.0.1:0"\nnosuch = 1';
  const daemon = await startDaemon(t, directory, { config });
  const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  await client.prepare({ key: 'a', labels: { 'containerd.io/snapshot.ref': 'c' } });
  client.close();
  const { host, port } = URL.parse(`http://${daemon.status().listening.metrics}`)!;
  assert.equal(host, `127.0.0.1:${port}`);
  const get = (path: string) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, path }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode!, body }));
      });
      sent.on('error', reject).end();
    });
  const { body } = await get('/metrics');
  assert.match(body, /^stargz_fallbacks_total\{reason="no-labels"\} 1$/m);
  assert.match(body, /^stargz_grpc_call_seconds_count\{method="Prepare",code="OK"\} 1$/m);
  assert.match(body, /^stargz_grpc_calls_in_flight\{method="Prepare"\} 0$/m);
  assert.match(body, /^stargz_layers_mounted 0$/m);
  assert.deepEqual(JSON.parse((await get('/debug/layers')).body), []);
  assert.equal((await get('/')).status, 404);
  const {
    config: { warnings },
    counters,
  } = daemon.status();
  assert.match(warnings.join(), /nosuch is not an option/);
  assert.deepEqual(counters.fallbacks, { 'no-labels': 1 });
  const current = JSON.parse((await get('/debug/status')).body) as StatusDocument;
  assert.deepEqual({ ...current, writtenAt: '', counters }, { ...daemon.status(), writtenAt: '' });
});

test('a thousand rounds of Prepare, Commit and Remove leave no descriptor, thread or mount', {
  timeout: 120_000,
}, async (t) => {
  const directory = openScratch(t, 'dm');
  const daemon = await startDaemon(t, directory, { config: fuse });
  const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  undoAfter(t, () => client.close());
  const rounds = async (count: number, name: string) => {
    for (let i = 0; i < count; i += 4) {
      await Promise.all(
        [0, 1, 2, 3].map(async (offset) => {
          const key = `${name}-${i + offset}`;
          await client.prepare({ key });
          await client.commit({ name: `${key}-c`, key });
          await client.remove({ key: `${key}-c` });
        }),
      );
    }
    await client.cleanup({});
  };
  const measure = () => ({
    descriptors: readdirSync(`/proc/${daemon.pid}/fd`).length,
    threads: readdirSync(`/proc/${daemon.pid}/task`).length,
    mounts: mountPoints(directory).length,
  });
  await rounds(500, 'warm');
  const before = measure();
  await rounds(1000, 'round');
  const after = measure();
  assert.ok(after.descriptors <= before.descriptors, `${before.descriptors} -> ${after.descriptors} descriptors`);
  assert.ok(after.threads <= before.threads, `${before.threads} -> ${after.threads} threads`);
  assert.equal(after.mounts, before.mounts);
  assert.deepEqual(readdirSync(join(directory, 'root/snapshots')), []);
});
