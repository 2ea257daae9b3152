"""Writes so many MiB of pseudo-random bytes, the same at each build, to the standard output."""
import random
import sys

generator = random.Random(1)
for _ in range(int(sys.argv[1])):
    sys.stdout.buffer.write(generator.randbytes(1 << 20))
