"""A stand-in for systemd's descriptor store.

serve NOTIFY HAND_OUT      hears sd_notify(3) on NOTIFY; who connects to HAND_OUT gets the names of what is held, one a line,
                           and copies of it
start HAND_OUT COMMAND...  becomes COMMAND, started with what is held as by systemd (sd_listen_fds(3))
"""

import fcntl
import os
import selectors
import socket
import sys


def serve(notify_path, hand_out_path):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(notify_path)
    notify.setblocking(False)
    hand_out = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    hand_out.bind(hand_out_path)
    hand_out.listen()
    print("bound", flush=True)
    held = []
    selector = selectors.DefaultSelector()
    for listener in (notify, hand_out):
        selector.register(listener, selectors.EVENT_READ)
    while True:
        selector.select()
        heed_all(notify, held)
        if hand_out in (key.fileobj for key, _ in selector.select(0)):
            # What was said before somebody asked counts.
            heed_all(notify, held)
            client, _ = hand_out.accept()
            with client:
                names = "".join(f"{name}\n" for name, _ in held) or "\n"
                socket.send_fds(client, [names.encode()], [fd for _, fd in held])


def heed_all(notify, held):
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(notify, 1000, 8)
        except BlockingIOError:
            return
        words = dict(line.split("=", 1) for line in data.decode().splitlines())
        if words.get("FDSTORE") == "1" and words.get("FDPOLL") == "0":
            held += [(words["FDNAME"], fd) for fd in fds]
            fds = []
        if words.get("FDSTOREREMOVE") == "1":
            fds += [fd for name, fd in held if name == words["FDNAME"]]
            held[:] = [entry for entry in held if entry[0] != words["FDNAME"]]
        for fd in fds:
            os.close(fd)


def start(hand_out_path, *command):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(hand_out_path)
        data, fds, _, _ = socket.recv_fds(server, 1000, 8)
    # Out of the way of each other first.
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
    for index, fd in enumerate(aside):
        os.dup2(fd, 3 + index)
    if aside:
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = str(len(aside))
        os.environ["LISTEN_FDNAMES"] = ":".join(data.decode().split())
    os.execvp(command[0], command)


{"serve": serve, "start": start}[sys.argv[1]](*sys.argv[2:])
