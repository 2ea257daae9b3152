import { execFileSync } from 'node:child_process';
import { chownSync, linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Change, checkLayers, type SuiteCase, type SuiteContext } from './suite-context.ts';

/** Cases about content: a mount of a stack of layers must show what its layers did to the files. */
export const fileCases: readonly SuiteCase[] = [
  {
    title: 'files changed in an upper layer show their new content and mode',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'etc'), { mode: 0o700 });
          writeFileSync(join(root, 'etc/hosts'), 'mydomain 10.0.0.1');
          writeFileSync(join(root, 'etc/profile'), 'PATH=/usr/bin', { mode: 0o644 });
        },
        (root) => {
          writeFileSync(join(root, 'etc/hosts'), 'mydomain 10.0.0.2');
          rmSync(join(root, 'etc/profile'));
          writeFileSync(join(root, 'etc/profile'), 'PATH=/usr/bin', { mode: 0o600 });
          mkdirSync(join(root, 'root'), { mode: 0o700 });
          writeFileSync(join(root, 'root/.bashrc'), 'PATH=/usr/sbin:/usr/bin');
        },
      ]),
  },
  {
    title: 'a directory removed and created again hides its former content',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'lib'), { mode: 0o700 });
          writeFileSync(join(root, 'lib/hidden'), '');
        },
        (root) => {
          rmSync(join(root, 'lib'), { recursive: true });
          mkdirSync(join(root, 'lib'), { mode: 0o700 });
          writeFileSync(join(root, 'lib/not-hidden'), '');
        },
        (root) => writeFileSync(join(root, 'lib/newfile'), ''),
      ]),
  },
  {
    title: 'a change of owner applies at every level of a tree',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'opt/a/b'), { recursive: true, mode: 0o700 });
          writeFileSync(join(root, 'opt/a/b/file.txt'), 'hello');
        },
        (root) => {
          for (const name of ['opt', 'opt/a', 'opt/a/b', 'opt/a/b/file.txt']) chownSync(join(root, name), 1, 1);
        },
      ]),
  },
  { title: 'owners and modes of directories survive a commit', run: checkDirectoryPermissions },
  {
    title: 'a file deleted in a layer stays deleted above it',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          writeFileSync(join(root, 'foo'), 'foo\n');
          writeFileSync(join(root, 'foobar'), 'foobar\n');
        },
        (root) => rmSync(join(root, 'foobar')),
        () => {},
      ]),
  },
  {
    title: 'files of a lower layer can be moved',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'dir1'), { mode: 0o700 });
          writeFileSync(join(root, 'dir1/f1'), 'Hello');
          mkdirSync(join(root, 'dir2'), { mode: 0o700 });
          writeFileSync(join(root, 'dir2/f2'), '...');
        },
        (root) => {
          mkdirSync(join(root, 'dir3'), { mode: 0o700 });
          writeFileSync(join(root, 'dir3/f1'), 'Hello');
          rmSync(join(root, 'dir1'), { recursive: true });
          linkSync(join(root, 'dir2/f2'), join(root, 'dir3/f2'));
          rmSync(join(root, 'dir2/f2'));
        },
      ]),
  },
  {
    title: 'files are renamed over those of a lower layer',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'somefiles'), { mode: 0o700 });
          writeFileSync(join(root, 'somefiles/f1'), 'was here first!');
          writeFileSync(join(root, 'somefiles/f2'), 'nothing interesting');
        },
        (root) => {
          writeFileSync(join(root, 'somefiles/f1-overwrite'), 'new content 1');
          renameSync(join(root, 'somefiles/f1-overwrite'), join(root, 'somefiles/f1'));
          renameSync(join(root, 'somefiles/f2'), join(root, 'somefiles/f3'));
        },
      ]),
  },
  {
    title: 'directories move: one of this layer by rename(2), one of a lower layer by mv',
    run: (context) =>
      checkLayers(context, [
        (root) => {
          mkdirSync(join(root, 'dir1/deep'), { recursive: true, mode: 0o700 });
          writeFileSync(join(root, 'dir1/deep/f1'), 'from below');
        },
        (root) => {
          mkdirSync(join(root, 'new'), { mode: 0o750 });
          writeFileSync(join(root, 'new/f2'), 'from here');
          renameSync(join(root, 'new'), join(root, 'newer'));
          // Without redirect_dir overlayfs answers EXDEV, and mv copies and deletes.
          execFileSync('mv', [join(root, 'dir1'), join(root, 'dir2')]);
          mkdirSync(join(root, 'dir1'), { mode: 0o700 });
          writeFileSync(join(root, 'dir1/f3'), 'not what was here');
        },
        (root) => renameSync(join(root, 'dir2/deep/f1'), join(root, 'dir1/f1')),
      ]),
  },
  { title: 'a stack of 128 layers can be mounted', run: check128Layers },
];

async function checkDirectoryPermissions(context: SuiteContext): Promise<void> {
  const owned = (root: string, ...names: string[]) => {
    for (const name of names) chownSync(join(root, name), 1, 1);
  };
  await checkLayers(context, [
    (root) => {
      for (const name of ['dir1', 'dir2', 'dir3', 'dir4', 'dir5']) mkdirSync(join(root, name), { mode: 0o700 });
      writeFileSync(join(root, 'dir4/f1'), '...');
      writeFileSync(join(root, 'dir5/f1'), '...');
      owned(root, 'dir1', 'dir2', 'dir3', 'dir5', 'dir5/f1');
    },
    (root) => {
      chownSync(join(root, 'dir2'), 0, 0);
      rmSync(join(root, 'dir3'), { recursive: true });
      owned(root, 'dir4', 'dir4/f1');
    },
    (root) => {
      mkdirSync(join(root, 'dir3'), { mode: 0o700 });
      rmSync(join(root, 'dir5'), { recursive: true });
      mkdirSync(join(root, 'dir5'), { mode: 0o700 });
      owned(root, 'dir3', 'dir5');
    },
  ]);
}

async function check128Layers(context: SuiteContext): Promise<void> {
  const changes: Change[] = [
    (root) => {
      writeFileSync(join(root, 'bottom'), 'way at the bottom\n');
      writeFileSync(join(root, 'overwriteme'), 'FIRST!\n');
      mkdirSync(join(root, 'addhere'));
      mkdirSync(join(root, 'onlyme'));
      writeFileSync(join(root, 'onlyme/bottom'), 'bye!\n');
    },
  ];
  for (let i = 1; i < 128; i++) {
    changes.push((root) => {
      writeFileSync(join(root, 'overwriteme'), `${i} WAS HERE!\n`);
      writeFileSync(join(root, `addhere/file-${i}`), 'same\n');
      rmSync(join(root, 'onlyme'), { recursive: true });
      mkdirSync(join(root, 'onlyme'));
      writeFileSync(join(root, `onlyme/file-${i}`), 'only me!\n');
    });
  }
  await checkLayers(context, changes, 16);
}
