import assert from 'node:assert/strict';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { parseConfig } from './config.ts';

const everything = `
metrics_address = "127.0.0.1:8234"
prefetch_size = 1048576
noprefetch = true
[blob]
max_retries = -1
[cache]
limit_bytes = 0
[mount]
backend = "fuse"
[resolver]
config_path = "/etc/containerd/certs.d"
[[resolver.host."registry.test".mirrors]]
host = "http://mirror.test/v2/"
insecure = true
header = { "X-A" = ["1", "2"] }
[cri_keychain]
enable_keychain = true
`;

export const targets: readonly FuzzTarget[] = [
  {
    name: 'config',
    seeds: [Buffer.from(everything), Buffer.from('')],
    dictionary: [
      '[fuse_manager]',
      '__proto__ = 1',
      '[__proto__]',
      'constructor',
      '= nan',
      '= 1979-05-27',
      '= {}',
      '= []',
      '"""',
      '\\u0000',
    ],
    run(input) {
      refusing(['ConfigError'], () => {
        const { config, warnings } = parseConfig(input.toString('utf8'), 'config.toml');
        assert.equal(typeof config.cache.limit_bytes, 'number');
        assert.ok(['auto', 'erofs', 'fuse'].includes(config.mount.backend));
        assert.ok(warnings.every((warning) => typeof warning === 'string'));
        assert.equal(({} as Record<string, unknown>).polluted, undefined);
      });
    },
  },
];
