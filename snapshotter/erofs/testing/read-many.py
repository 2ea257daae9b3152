"""read-many.py COUNT: reads f0 to fCOUNT-1 of the working directory at once; prints how many held "content of NAME"."""

import sys
import threading

names = [f"f{index}" for index in range(int(sys.argv[1]))]
texts = {}


def read(name):
    with open(name) as file:
        texts[name] = file.read()


threads = [threading.Thread(target=read, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(texts.get(name) == f"content of {name}" for name in names))
