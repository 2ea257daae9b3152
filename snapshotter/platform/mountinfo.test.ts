import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMountinfo } from './mountinfo.ts';

test('mount points are read past optional fields, with escaped spaces', () => {
  const mounts = parseMountinfo(
    [
      '36 35 98:0 / / rw,noatime - ext4 /dev/vda rw',
      '37 36 0:40 /x /var/lib/a\\040b rw master:1 shared:2 - fuse.stargz none\\011x ro',
      'garbage',
      '',
    ].join('\n'),
  );
  assert.deepEqual(mounts, [
    { path: '/', device: '98:0', type: 'ext4', source: '/dev/vda' },
    { path: '/var/lib/a b', device: '0:40', type: 'fuse.stargz', source: 'none\tx' },
  ]);
});
