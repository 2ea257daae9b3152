import koffi from 'koffi';

/*
 * sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names. Node has no Unix datagrams, and systemd-notify(1) would
 * be another process, whose word counts only where the unit allows it.
 */
const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const sendto = libc.func(
  'int64_t sendto(int fd, void *data, size_t size, int flags, void *address, unsigned int length)',
);
const close = libc.func('int close(int fd)');

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/** Tells systemd how far this service is, if it asked (Type=notify). Whether the word was sent. */
export function notifySystemd(state: 'READY=1' | 'STOPPING=1', socketPath = process.env.NOTIFY_SOCKET ?? ''): boolean {
  if (socketPath === '') return false;
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) as number;
  if (fd < 0) return false;
  try {
    const data = Buffer.from(state);
    const address = encodeAddress(socketPath);
    return (sendto(fd, data, data.length, MSG_NOSIGNAL, address, address.length) as number) === data.length;
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
