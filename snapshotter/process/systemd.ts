import koffi from 'koffi';

/*
 * sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names. Node has no Unix datagram sockets, and messages of
 * another process, systemd-notify(1), count only where the unit sets NotifyAccess=.
 */
const libc = koffi.load(null);
koffi.struct('iovec', { base: 'void *', length: 'size_t' });
koffi.struct('msghdr', {
  name: 'void *',
  nameLength: 'uint32_t',
  parts: 'iovec *',
  partCount: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
});
const socket = libc.func('int socket(int domain, int type, int protocol)');
const sendmsg = libc.func('int64_t sendmsg(int fd, const msghdr *message, int flags)');
const close = libc.func('int close(int fd)');

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;

/** sd_listen_fds(3): SD_LISTEN_FDS_START. */
const firstInheritedFd = 3;

/** Notifies systemd, if it asked for that (Type=notify); returns whether a message was sent. */
export function notifySystemd(state: 'READY=1' | 'STOPPING=1', socketPath = notifySocket()): boolean {
  return send(state, undefined, socketPath);
}

/**
 * Stores a duplicate of `fd` in systemd, which passes it to the next start of this service. Returns whether the message
 * was sent; whether the unit allows it (FileDescriptorStoreMax=) systemd does not acknowledge. FDPOLL=0 keeps systemd
 * from dropping the descriptor on EPOLLHUP.
 */
export function storeDescriptor(name: string, fd: number, socketPath = notifySocket()): boolean {
  return send(`FDSTORE=1\nFDNAME=${name}\nFDPOLL=0`, fd, socketPath);
}

/** Has systemd close all descriptors stored under this name. */
export function dropDescriptor(name: string, socketPath = notifySocket()): boolean {
  return send(`FDSTOREREMOVE=1\nFDNAME=${name}`, undefined, socketPath);
}

/** Descriptors that systemd passed to this process; those of its store it keeps as well. */
export function inheritedDescriptors(env: NodeJS.ProcessEnv = process.env): readonly { name: string; fd: number }[] {
  if (env.LISTEN_PID !== String(process.pid)) return [];
  const names = (env.LISTEN_FDNAMES ?? '').split(':');
  const count = Number(env.LISTEN_FDS ?? 0);
  return Array.from({ length: count }, (_, index) => ({ name: names[index] ?? '', fd: firstInheritedFd + index }));
}

export function notifySocket(): string {
  return process.env.NOTIFY_SOCKET ?? '';
}

function send(text: string, passedFd: number | undefined, socketPath: string): boolean {
  if (socketPath === '') return false;
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) as number;
  if (fd < 0) return false;
  try {
    const data = Buffer.from(text);
    const address = encodeAddress(socketPath);
    const control = passedFd === undefined ? null : encodeRights(passedFd);
    const message = {
      name: address,
      nameLength: address.length,
      parts: [{ base: data, length: data.length }],
      partCount: 1,
      control,
      controlLength: control?.length ?? 0,
      flags: 0,
    };
    return (sendmsg(fd, message, MSG_NOSIGNAL) as number) === data.length;
  } finally {
    close(fd);
  }
}

/** struct sockaddr_un; a name that begins with "@" is in the abstract namespace, which has a NUL there (unix(7)). */
function encodeAddress(path: string): Buffer {
  const family = Buffer.alloc(2);
  new Uint16Array(family.buffer, family.byteOffset, 1)[0] = AF_UNIX;
  return Buffer.concat([family, Buffer.from(path.replace(/^@/, '\0'))]);
}

/** struct cmsghdr with one descriptor, padded (cmsg(3)): `size_t length; int level; int type; int fd`. */
function encodeRights(fd: number): Uint8Array {
  const control = new ArrayBuffer(24);
  new BigUint64Array(control, 0, 1)[0] = 20n;
  new Int32Array(control, 8).set([SOL_SOCKET, SCM_RIGHTS, fd]);
  return new Uint8Array(control);
}
