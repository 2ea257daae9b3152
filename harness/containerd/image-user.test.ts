import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { findUser, parseNumericUser } from './image-user.ts';

const limit = { timeout: 10_000 };
const passwd = 'root:x:0:0::/:/bin/sh\napp:x:1001:1002:App:/srv:/bin/sh\n';
const group = 'root:x:0:\nstaff:x:50:someone,app\nwheel:x:10:app\n';

function imageRoot(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'bench-user-'));
  t.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'etc'));
  return root;
}

test('numbers need no image, and a user without a group needs one', limit, () => {
  assert.deepEqual(['', 'root', '0'].map(parseNumericUser), Array(3).fill({ uid: 0, gid: 0 }));
  assert.deepEqual(parseNumericUser('999:998'), { uid: 999, gid: 998 });
  assert.deepEqual(['app', '1001', 'app:1', '1:staff'].map(parseNumericUser), Array(4).fill(undefined));
});

test("names and groups are the image's", limit, async (t) => {
  const root = imageRoot(t);
  writeFileSync(join(root, 'etc/passwd'), passwd);
  writeFileSync(join(root, 'etc/group'), group);
  const app = { uid: 1001, gid: 1002, additionalGids: [50, 10] };
  assert.deepEqual(await findUser('app', root), app);
  assert.deepEqual(await findUser('1001', root), app);
  assert.deepEqual(await findUser('7', root), { uid: 7, gid: 0 });
  assert.deepEqual(await findUser('app:staff', root), { uid: 1001, gid: 50 });
  assert.deepEqual(await findUser('app:77', root), { uid: 1001, gid: 77 });
  await assert.rejects(findUser('nobody-here', root), { code: 'unsupported-image', message: /no user "nobody-here"/ });
  await assert.rejects(findUser('app:none', root), { message: /no group "none"/, remedy: /--user UID:GID/ });
});

test("a link leads to a file of the image, never to this machine's", limit, async (t) => {
  const root = imageRoot(t);
  symlinkSync('/store/passwd', join(root, 'etc/passwd'));
  symlinkSync('../../../etc/group', join(root, 'etc/group'));
  await assert.rejects(findUser('daemon', root), { message: /no user "daemon"/ }, 'there is no such file yet');
  mkdirSync(join(root, 'store'));
  writeFileSync(join(root, 'store/passwd'), passwd);
  assert.deepEqual(await findUser('app', root), { uid: 1001, gid: 1002 });
});
