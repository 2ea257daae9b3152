"""
Carries IP packets between two network namespaces, whose kernels speak TCP over it: late by half the round trip, and at the rate of the line.

    python3 tun-link.py NAMESPACE NAMESPACE RTT_MS BANDWIDTH_MBPS      (0: unlimited)

Makes the device `link0` in both, says `ready`, and ends with its standard input.
"""
import collections, ctypes, fcntl, os, select, struct, sys, time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 1, 0x1000, 0x40000000
QUEUE_PACKETS = 20_000
libc = ctypes.CDLL(None, use_errno=True)


def open_tun(namespace):
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns {namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22s", b"link0", IFF_TUN | IFF_NO_PI, b""))
    return device


one, other, rtt_ms, bandwidth_mbps = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
devices = [open_tun(one), open_tun(other)]
delay = rtt_ms / 2000
seconds_per_byte = 8 / (bandwidth_mbps * 1e6) if bandwidth_mbps > 0 else 0
free_at = [0.0, 0.0]
queues = [collections.deque(), collections.deque()]
print("ready", flush=True)
while True:
    now = time.monotonic()
    due = [queue[0][0] - now for queue in queues if queue]
    readable, _, _ = select.select([*devices, 0], [], [], max(0, min(due)) if due else None)
    if 0 in readable:
        break
    now = time.monotonic()
    for side in (0, 1):
        while True:
            try:
                packet = os.read(devices[side], 65536)
            except BlockingIOError:
                break
            if len(queues[side]) < QUEUE_PACKETS:
                free_at[side] = max(now, free_at[side]) + len(packet) * seconds_per_byte
                queues[side].append((free_at[side] + delay, packet))
        while queues[side] and queues[side][0][0] <= now:
            try:
                os.write(devices[1 - side], queues[side].popleft()[1])
            except OSError:
                pass
