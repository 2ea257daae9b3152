import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

/**
 * Calls into libc that have neither a Node API nor a command. Constants are those of the Linux generic ABI, which
 * x86-64, arm64 and riscv64 share.
 */

/** Symbols of the running process: node links libc, be it glibc or musl. */
const libc = koffi.load(null);
type LibcCall = ReturnType<typeof libc.func>;

const libcRead = libc.func('int64_t read(int fd, void *buffer, size_t count)');
const libcPread = libc.func('int64_t pread(int fd, void *buffer, size_t count, int64_t offset)');
const libcWrite = libc.func('int64_t write(int fd, void *buffer, size_t count)');
const libcPoll = libc.func('int poll(void *fds, unsigned long count, int timeoutMs)');
const libcEventfd = libc.func('int eventfd(unsigned int initial, int flags)');
const libcClose = libc.func('int close(int fd)');
const libcPipe2 = libc.func('int pipe2(void *fds, int flags)');
const libcDup3 = libc.func('int dup3(int from, int to, int flags)');
const libcFcntl = libc.func('int fcntl(int fd, int command, int argument)');
const libcSplice = libc.func(
  'int64_t splice(int from, void *fromOffset, int to, void *toOffset, size_t count, unsigned int flags)',
);
const libcIoctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const libcMount = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const libcSetns = libc.func('int setns(int fd, int type)');
const libcSocket = libc.func('int socket(int domain, int type, int protocol)');
const libcUmount2 = libc.func('int umount2(const char *target, int flags)');

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_REMOUNT = 32;
export const MS_NOATIME = 1024;
export const MNT_DETACH = 2;

export const POLLIN = 1;
export const POLLERR = 8;
export const POLLHUP = 16;

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETPIPE_SZ = 1031;
const accessModeMask = 3;
const O_RDWR = 2;
const AF_INET = 2;
const SOCK_STREAM = 1;
const CLONE_NEWNET = 0x40000000;
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

export class SyscallError extends Error {
  override readonly name = 'SyscallError';
  /** The name of the errno: 'EPERM'. */
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, object: string, errno: number) {
    const code = getSystemErrorName(-errno);
    super(`${syscall} ${object}: ${code}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/**
 * mount(2) on a thread of libuv's pool: the kernel may send a request to this process before the call returns, and the
 * calling thread must be free to answer it. `data` may name a descriptor of this process (`fd=`).
 */
export function mountFilesystem(
  source: string,
  target: string,
  type: string,
  flags: number,
  data: string,
): Promise<void> {
  return callAsync('mount', `${type} on ${target}`, libcMount, source, target, type, flags, data);
}

/** umount2(2), likewise off the calling thread. Rejects with code EBUSY, EINVAL (not a mount point), ... */
export function unmountFilesystem(target: string, flags = 0): Promise<void> {
  return callAsync('umount', target, libcUmount2, target, flags);
}

function callAsync(name: string, object: string, call: LibcCall, ...args: unknown[]): Promise<void> {
  return new Promise((resolve, reject) => {
    // errno belongs to the pool's thread by the time the callback runs: koffi carries it over with the result.
    call.async(...args, (error: unknown, result: number) => {
      if (error) reject(error as Error);
      else if (result === 0) resolve();
      else reject(new SyscallError(name, object, koffi.errno()));
    });
  });
}

/** An eventfd(2): poll(2) reports it readable after `signalEvent`. Close it with fs.closeSync. */
export function openEvent(): number {
  const fd = libcEventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) as number;
  if (fd < 0) throw new SyscallError('eventfd', 'a wake-up descriptor', koffi.errno());
  return fd;
}

const eventOne = new BigUint64Array([1n]);

export function signalEvent(fd: number): void {
  libcWrite(fd, eventOne, 8);
}

/** Makes it unreadable again. */
export function clearEvent(fd: number): void {
  libcRead(fd, new BigUint64Array(1), 8);
}

/**
 * struct pollfd for these descriptors, waiting for POLLIN; word 2i is descriptor i, the high half of word 2i+1 revents.
 */
export function pollSet(...fds: number[]): Int32Array {
  return new Int32Array(fds.flatMap((fd) => [fd, POLLIN]));
}

/** poll(2): blocks the calling thread; the number of ready descriptors. `timeoutMs` -1 is no limit. */
export function poll(set: Int32Array, timeoutMs: number): number {
  return libcPoll(set, set.length / 2, timeoutMs) as number;
}

export function polledEvents(set: Int32Array, index: number): number {
  return set[2 * index + 1]! >>> 16;
}

/** read(2): the byte count, or minus the errno. Does not throw: an exception costs more than the call. */
export function readDescriptor(fd: number, buffer: Uint8Array, sizeBytes: number): number {
  const result = libcRead(fd, buffer, sizeBytes) as number;
  return result < 0 ? -koffi.errno() : result;
}

/** write(2): the byte count, or minus the errno. */
export function writeDescriptor(fd: number, buffer: Uint8Array, sizeBytes: number): number {
  const result = libcWrite(fd, buffer, sizeBytes) as number;
  return result < 0 ? -koffi.errno() : result;
}

/** pread(2): the byte count, or minus the errno. */
export function preadDescriptor(fd: number, buffer: Uint8Array, sizeBytes: number, offset: number): number {
  const result = libcPread(fd, buffer, sizeBytes, offset) as number;
  return result < 0 ? -koffi.errno() : result;
}

/**
 * A TCP/IPv4 socket, not connected, in the network namespace that a descriptor of /proc/PID/ns/net names. setns(2) moves the
 * calling thread only, and it is back before this returns. Needs CAP_SYS_ADMIN.
 */
export function openTcpSocketIn(namespaceFd: number): number {
  const ownFd = openSync('/proc/thread-self/ns/net', 'r');
  try {
    enterNetwork(namespaceFd);
    const fd = libcSocket(AF_INET, SOCK_STREAM | O_NONBLOCK | O_CLOEXEC, 0) as number;
    const errno = koffi.errno();
    enterNetwork(ownFd);
    if (fd < 0) throw new SyscallError('socket', 'in another network namespace', errno);
    return fd;
  } finally {
    closeSync(ownFd);
  }
}

function enterNetwork(fd: number): void {
  if ((libcSetns(fd, CLONE_NEWNET) as number) < 0) throw new SyscallError('setns', 'a network', koffi.errno());
}

/** dup3(2): makes `to` a duplicate of `from`, which stays open. */
export function replaceDescriptor(to: number, from: number): void {
  if ((libcDup3(from, to, O_CLOEXEC) as number) < 0) throw new SyscallError('dup3', `descriptor ${to}`, koffi.errno());
}

/** Clears FD_CLOEXEC, so that the descriptor survives execve(2). */
export function keepOverExec(fd: number): void {
  if ((libcFcntl(fd, F_SETFD, 0) as number) < 0) throw new SyscallError('fcntl', `descriptor ${fd}`, koffi.errno());
}

export function isWritable(fd: number): boolean {
  return ((libcFcntl(fd, F_GETFL, 0) as number) & accessModeMask) === O_RDWR;
}

export interface Pipe {
  readonly readFd: number;
  readonly writeFd: number;
  readonly sizeBytes: number;
}

/**
 * A non-blocking pipe(7) of `sizeBytes`. Throws SyscallError: above /proc/sys/fs/pipe-max-size, CAP_SYS_RESOURCE is
 * needed.
 */
export function openPipe(sizeBytes: number): Pipe {
  const fds = new Int32Array(2);
  if ((libcPipe2(fds, O_NONBLOCK | O_CLOEXEC) as number) < 0) throw new SyscallError('pipe2', 'a pipe', koffi.errno());
  const pipe = { readFd: fds[0]!, writeFd: fds[1]!, sizeBytes };
  if ((libcFcntl(pipe.writeFd, F_SETPIPE_SZ, sizeBytes) as number) >= sizeBytes) return pipe;
  const error = new SyscallError('fcntl', `a pipe of ${sizeBytes} bytes`, koffi.errno());
  closePipe(pipe);
  throw error;
}

/** Not by fs.closeSync, which in a worker warns of descriptors that Node did not open. */
export function closePipe({ readFd, writeFd }: Pipe): void {
  libcClose(readFd);
  libcClose(writeFd);
}

const spliceOffset = new Uint32Array(2);

/** splice(2) from a file's `offset` into a pipe: pages by reference, no copy. The byte count, or minus the errno. */
export function spliceFromFile(fd: number, offset: number, pipe: Pipe, sizeBytes: number): number {
  spliceOffset[0] = offset % 2 ** 32;
  spliceOffset[1] = Math.floor(offset / 2 ** 32);
  const result = libcSplice(fd, spliceOffset, pipe.writeFd, null, sizeBytes, 0) as number;
  return result < 0 ? -koffi.errno() : result;
}

/** splice(2) of what is in a pipe. The byte count, or minus the errno. */
export function spliceFromPipe(pipe: Pipe, fd: number, sizeBytes: number): number {
  const result = libcSplice(pipe.readFd, null, fd, null, sizeBytes, 0) as number;
  return result < 0 ? -koffi.errno() : result;
}

/** ioctl(2) with a pointer to `argument`; throws SyscallError. */
export function ioctl(fd: number, request: number, argument: Uint8Array | Uint32Array, name: string): number {
  const result = libcIoctl(fd, request, argument) as number;
  if (result < 0) throw new SyscallError('ioctl', name, koffi.errno());
  return result;
}

export const errno = constants.errno;
