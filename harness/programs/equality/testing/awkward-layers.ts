import { chmod, chown, link, lutimes, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { pseudoRandomBytes } from '../../../../testkit/random.ts';
import { type FillLayer, fillShell } from '../../../images/synthetic-image.ts';
import { setXattr } from '../../../host/xattr.ts';

/** Layers that hold whatever a snapshotter may get wrong, and a second and third that hide, replace and reopen it. */
export const awkwardLayers: readonly FillLayer[] = [fillShell, fillKinds, fillChanges];

async function fillKinds(root: string): Promise<void> {
  const at = (...names: string[]) => join(root, ...names);
  await mkdir(at('kinds'));
  await writeFile(at('kinds/empty'), '');
  await writeFile(at('kinds/one-byte'), 'x');
  await writeFile(at('kinds/page'), pseudoRandomBytes(4096, 1));
  await writeFile(at('kinds/page-and-one'), pseudoRandomBytes(4097, 2));
  // Several chunks of 4 MiB, the last one short.
  await writeFile(at('kinds/chunks'), pseudoRandomBytes(9 * 1024 * 1024 + 17, 3));
  await writeFile(at('kinds/zeros'), Buffer.alloc(5 * 1024 * 1024));
  await writeFile(at('kinds/setuid'), 'x');
  await chown(at('kinds/setuid'), 1234, 5678);
  await chmod(at('kinds/setuid'), 0o6755);
  await writeFile(at('kinds/no-rights'), 'x');
  await chmod(at('kinds/no-rights'), 0);
  await mkdir(at('kinds/sticky'));
  await chmod(at('kinds/sticky'), 0o1777);
  await link(at('kinds/page'), at('kinds/a-link-before'));
  await link(at('kinds/page'), at('kinds/z-link-after'));
  await symlink('page', at('kinds/symlink'));
  await symlink('/absolute/and/dangling', at('kinds/dangling'));
  await symlink(`${'long/'.repeat(60)}target`, at('kinds/long-symlink'));
  await execa('mknod', [at('kinds/character'), 'c', '1', '3']);
  await execa('mknod', [at('kinds/block'), 'b', '259', '70000']);
  await execa('mkfifo', [at('kinds/fifo')]);
  await writeFile(at('kinds', 'n'.repeat(255)), 'a long name');
  await writeFile(at('kinds', 'gr\u00fc\u00dfe \u65e5\u672c "quoted"\\ \n'), 'an odd name');
  await writeFile(Buffer.concat([Buffer.from(at('kinds/latin-')), Buffer.from([0xe9, 0xff])]), 'no UTF-8');
  await mkdir(at('deep', ...'abcdefghijklmnopqrstuvwxyz'.split('')), { recursive: true });
  await writeFile(at('kinds/attributes'), 'x');
  const attribute = (name: string, value: Buffer) => setXattr(at('kinds/attributes'), name, value);
  attribute('user.text', Buffer.from('value'));
  attribute('user.binary', Buffer.from('00ff7f80', 'hex'));
  attribute('user.empty', Buffer.alloc(0));
  // cap_net_bind_service+ep, as a packager's setcap leaves it.
  attribute('security.capability', Buffer.from('0100000200040000000000000000000000000000', 'hex'));
  await writeFile(at('kinds/old'), 'x');
  await utimes(at('kinds/old'), 1, 1);
  await lutimes(at('kinds/symlink'), 1_000_000_000, 1_000_000_000);
  await mkdir(at('hidden'));
  await writeFile(at('hidden/inside'), 'x');
  await writeFile(at('removed'), 'x');
  await mkdir(at('opaque/kept'), { recursive: true });
  await writeFile(at('opaque/below'), 'x');
  await writeFile(at('replaced'), 'a file');
  await mkdir(at('turns-into-file'));
  await writeFile(at('turns-into-file/inside'), 'x');
  await mkdir(at('many'));
  for (let index = 0; index < 2000; index++) await writeFile(at('many', `file-${index}`), `content ${index}\n`);
}

async function fillChanges(root: string): Promise<void> {
  const at = (...names: string[]) => join(root, ...names);
  await writeFile(at('.wh.hidden'), '');
  await writeFile(at('.wh.removed'), '');
  await mkdir(at('opaque'));
  await writeFile(at('opaque/.wh..wh..opq'), '');
  await writeFile(at('opaque/above'), 'x');
  await mkdir(at('replaced'));
  await writeFile(at('replaced/now-a-directory'), 'x');
  await writeFile(at('turns-into-file'), 'a file now');
  await mkdir(at('many'));
  await writeFile(at('many/.wh.file-7'), '');
  await writeFile(at('many/file-8'), 'changed\n');
  await chmod(at('many'), 0o700);
}
