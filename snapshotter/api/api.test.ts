import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { openClient, RpcError } from './client.ts';
import { generateTypes } from './generate.ts';
import { loadService } from './load.ts';
import { serviceFiles } from './types/services.ts';

test('the generated types are up to date with the .proto files', { timeout: 30_000 }, () => {
  for (const [name, text] of generateTypes()) {
    assert.equal(
      readFileSync(join(import.meta.dirname, name), 'utf8'),
      text,
      `${name}: run node snapshotter/api/generate.ts`,
    );
  }
});

test('every service in the index loads', { timeout: 30_000 }, () => {
  for (const name of Object.keys(serviceFiles) as (keyof typeof serviceFiles)[]) {
    assert.ok(Object.keys(loadService(name)).length > 0, name);
  }
});

test('a message is encoded as containerd encodes it', { timeout: 30_000 }, () => {
  const { Prepare } = loadService('containerd.services.snapshots.v1.Snapshots');
  const bytes = Prepare!.requestSerialize({ snapshotter: 's', key: 'k', parent: 'p', labels: { a: 'b' } });
  // Fields 1 to 4, length-delimited; a map entry is a message of key (1) and value (2).
  assert.equal(bytes.toString('hex'), '0a0173' + '12016b' + '1a0170' + '2206' + '0a0161' + '120162');
  assert.deepEqual(Prepare!.requestDeserialize(Buffer.from('12016b', 'hex')), {
    snapshotter: '',
    key: 'k',
    parent: '',
    labels: {},
  });
});

test('a client calls, streams, times out, is cancelled and reports the status', { timeout: 30_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'api-'));
  const address = join(dir, 'x.sock');
  const server = new Server();
  try {
    server.addService(loadService('containerd.services.snapshots.v1.Snapshots'), {
      prepare: () => {},
      stat: (call: ServerUnaryCall<{ key: string }, unknown>, done: sendUnaryData<unknown>) =>
        call.request.key === 'missing'
          ? done({ code: status.NOT_FOUND, details: 'no such snapshot' })
          : done(null, { info: { name: call.request.key, parent: call.metadata.get('containerd-namespace')[0] } }),
      list: (call: { write(message: unknown): void; end(): void }) => {
        call.write({ info: [{ name: 'one' }, { name: 'two' }] });
        call.write({ info: [{ name: 'three' }] });
        call.end();
      },
    });
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(`unix:${address}`, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      ),
    );
    const client = openClient('containerd.services.snapshots.v1.Snapshots', address, { namespace: 'here' });
    try {
      const { info } = await client.stat({ key: 'a' });
      assert.deepEqual([info?.name, info?.parent, info?.kind, info?.createdAt], ['a', 'here', 'UNKNOWN', null]);
      const names: string[] = [];
      for await (const block of client.list({})) names.push(...block.info.map((entry) => entry.name));
      assert.deepEqual(names, ['one', 'two', 'three']);
      const codeOf = (call: Promise<unknown>) =>
        call.then(
          () => 'no error',
          (error: unknown) => (error as RpcError).code,
        );
      assert.equal(await codeOf(client.stat({ key: 'missing' })), 'NOT_FOUND');
      assert.equal(await codeOf(client.prepare({}, { timeoutMs: 50 })), 'DEADLINE_EXCEEDED');
      assert.equal(await codeOf(client.prepare({}, { signal: AbortSignal.timeout(20) })), 'CANCELLED');
      assert.equal(await codeOf(client.prepare({}, { signal: AbortSignal.abort() })), 'CANCELLED');
      assert.equal(await codeOf(client.remove({ key: 'a' })), 'UNIMPLEMENTED');
    } finally {
      client.close();
    }
    const nobody = openClient('containerd.services.version.v1.Version', join(dir, 'nobody.sock'));
    await assert.rejects(nobody.version({}), (error) => error instanceof RpcError && error.code === 'UNAVAILABLE');
    nobody.close();
  } finally {
    server.forceShutdown();
    await rm(dir, { recursive: true });
  }
});
