import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { SyscallError } from '../../platform/syscalls.ts';

/** pidfd_open(2) and pidfd_getfd(2): glibc 2.36 names them, older ones do not; the numbers are one for all ABIs. */
const libcSyscall = koffi.load(null).func('long syscall(long number, long a, long b, long c)');
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;

/**
 * A descriptor of this process for the open file behind descriptor `fd` of process `pid` (needs ptrace rights on it).
 */
export function copyDescriptor(pid: number, fd: number): number {
  const pidfd = libcSyscall(SYS_pidfd_open, pid, 0, 0) as number;
  if (pidfd < 0) throw new SyscallError('pidfd_open', `process ${pid}`, koffi.errno());
  try {
    const copy = libcSyscall(SYS_pidfd_getfd, pidfd, fd, 0) as number;
    if (copy < 0) throw new SyscallError('pidfd_getfd', `descriptor ${fd} of process ${pid}`, koffi.errno());
    return copy;
  } finally {
    closeSync(pidfd);
  }
}
