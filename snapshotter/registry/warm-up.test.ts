import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RegistryClient } from './client.ts';
import { warmUp } from './warm-up.ts';

const limit = { timeout: 10_000 };

test('warming up sends one request, to this process, and looks up no credentials', limit, async () => {
  const hosts: string[] = [];
  const lookups: string[] = [];
  const client = new RegistryClient({
    keychains: [
      {
        name: 'test',
        async lookup(_reference, host) {
          lookups.push(host);
          return [];
        },
      },
    ],
    onRequest: (report) => void hosts.push(report.host),
  });
  await warmUp(client);
  assert.equal(hosts.length, 1);
  assert.match(hosts[0]!, /^127\.0\.0\.1:\d+$/);
  assert.deepEqual(lookups, []);
  await client.close();
});

test('warming up never fails, even with a client that cannot send', limit, async () => {
  const client = new RegistryClient();
  await client.close();
  await warmUp(client);
});
