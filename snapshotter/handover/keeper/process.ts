import { chmodSync, closeSync, fstatSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { isSuperblockAlive } from '../../erofs/mount.ts';
import { denyOrphaned, denyWaiting } from './denial.ts';
import type { FromKeeper, ToKeeper } from './message.ts';

/**
 * The keeper: holds the daemon's FUSE connection and fanotify group, so that readers wait instead of failing, or reading
 * zeros, while no daemon runs. The last holder's death would let every read through a hole return zeros.
 *
 *     node process.ts SOCKET GRACE_MS      descriptors 3: /dev/fuse, 4: the group; /dev/null where there is none
 *
 * A daemon that comes copies the descriptors and stays connected. When it goes without `dismiss`, the next has GRACE_MS to
 * come; after that every read of a hole gets EIO, from here, until one does or nothing is mounted any more.
 */
const [socketPath, graceText] = process.argv.slice(2);
if (socketPath === undefined || graceText === undefined)
  throw new Error('keeper: name the socket and the grace period');
const graceMs = Number(graceText);
const denialPeriodMs = 50;

let fuseFd = heldDescriptor(3);
const groupFd = heldDescriptor(4);
let superblocks: readonly string[] = [];
/** More than one while a daemon takes over, or somebody just looks. */
const daemons = new Set<Socket>();
let grace: NodeJS.Timeout | undefined;
let denial: NodeJS.Timeout | undefined;

neverKillForMemory();
process.umask(0o177);
rmSync(socketPath, { force: true });
const server = createServer(welcome);
let socketInode: number | undefined;
server.listen(socketPath, () => {
  chmodSync(socketPath, 0o600);
  socketInode = statSync(socketPath).ino;
});
startGrace();
// Both are what a service manager sends to a whole group when it stops the daemon: what is held must outlive that.
process.on('SIGTERM', () => {});
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});

/** It is small, and what it guards would read as zeros after it. Needs CAP_SYS_RESOURCE; without, it is as likely as others. */
function neverKillForMemory(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000');
  } catch {
    // As the daemon was started.
  }
}

function welcome(socket: Socket): void {
  clearTimeout(grace);
  clearInterval(denial);
  daemons.add(socket);
  const hello: FromKeeper = { pid: process.pid, fuseFd: fuseFd ?? null, groupFd: groupFd ?? null };
  socket.write(`${JSON.stringify(hello)}\n`);
  let received = '';
  socket.on('data', (piece) => {
    received += piece.toString();
    const lines = received.split('\n');
    received = lines.pop() ?? '';
    for (const line of lines) heed(JSON.parse(line) as ToKeeper);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    daemons.delete(socket);
    if (daemons.size === 0) startGrace();
  });
}

function heed(message: ToKeeper): void {
  switch (message.kind) {
    case 'dismiss':
      leave();
      break;
    case 'superblocks':
      superblocks = message.names;
      break;
    case 'more-superblocks':
      superblocks = [...superblocks, ...message.names];
  }
}

function startGrace(): void {
  grace = setTimeout(() => {
    // The FUSE connection ends with its last descriptor: readers get ENOTCONN.
    if (fuseFd !== undefined) closeSync(fuseFd);
    fuseFd = undefined;
    if (groupFd === undefined) leave();
    denyOrphaned(groupFd);
    denyWaiting(groupFd);
    denial = setInterval(() => {
      denyWaiting(groupFd);
      // No mount and no overlay reads a hole any more.
      if (!superblocks.some(isSuperblockAlive)) leave();
    }, denialPeriodMs);
  }, graceMs);
}

function leave(): never {
  // Another keeper may have its own there by now: of a daemon that did not know of this one.
  if (statSync(socketPath!, { throwIfNoEntry: false })?.ino === socketInode) rmSync(socketPath!, { force: true });
  process.exit(0);
}

function heldDescriptor(fd: number): number | undefined {
  // /dev/null stands for nothing to hold: character device 1:3.
  return fstatSync(fd).rdev === 0x103 ? undefined : fd;
}
