"""Maps a file, touches its pages from the last to the first, and prints the SHA-256 of the mapping: map-backwards.py FILE"""

import hashlib
import mmap
import sys

with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
for at in reversed(range(0, len(mapped), mmap.PAGESIZE)):
    mapped[at]
print(hashlib.sha256(mapped).hexdigest())
