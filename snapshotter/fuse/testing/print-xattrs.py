"""Prints the value of one extended attribute of a file in hex, then the names of all: print-xattrs.py FILE NAME"""

import os
import sys

file, name = sys.argv[1:]
print(os.getxattr(file, name).hex(), os.listxattr(file))
