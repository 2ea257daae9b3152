"""systemd's end of NOTIFY_SOCKET (sd_notify(3)): notify-socket.py NOTIFY COUNT SERVED

Prints "bound", then the first COUNT states that are not about descriptors, one a line, each with " and serving" if the
socket SERVED could be connected to by then.
"""

import socket
import sys

notify_path, count, served = sys.argv[1], int(sys.argv[2]), sys.argv[3]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
# An "@" stands for the NUL of an abstract address.
notify.bind(notify_path.replace("@", "\0"))
print("bound", flush=True)
while count > 0:
    state = notify.recv(100).decode()
    if state.startswith("FDSTORE"):
        continue
    count -= 1
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(served)
        state += " and serving"
    except OSError:
        pass
    print(state, flush=True)
