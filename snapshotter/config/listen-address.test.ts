import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseListenAddress } from './listen-address.ts';

test('a listen address is a port after an IPv4 address, a name, IPv6 in brackets or nothing', () => {
  assert.deepEqual(parseListenAddress('127.0.0.1:8234'), { host: '127.0.0.1', port: 8234 });
  assert.deepEqual(parseListenAddress('localhost:0'), { host: 'localhost', port: 0 });
  assert.deepEqual(parseListenAddress(':8234'), { host: undefined, port: 8234 });
  assert.deepEqual(parseListenAddress('[::1]:1'), { host: '::1', port: 1 });
  assert.deepEqual(parseListenAddress('tcp://0.0.0.0:65535'), { host: '0.0.0.0', port: 65535 });
  for (const wrong of ['', '8234', 'localhost', ':65536', '::1:8234', '[::1]', 'a b:1', '/run/metrics.sock', ':x']) {
    assert.equal(parseListenAddress(wrong), undefined, wrong);
  }
});
