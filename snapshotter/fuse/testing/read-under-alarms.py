"""Reads a file once while it handles SIGALRM every 50 ms; prints "open" before, the data after: read-under-alarms.py FILE"""

import os
import signal
import sys

signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
fd = os.open(sys.argv[1], os.O_RDONLY)
print("open", flush=True)
data = os.read(fd, 10)
signal.setitimer(signal.ITIMER_REAL, 0)
sys.stdout.write(data.decode())
