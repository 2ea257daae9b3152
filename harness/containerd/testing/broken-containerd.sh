#!/bin/sh
# A containerd that names its version and cannot start.
[ "$1" = --version ] && echo 'containerd x v1.7.24 y' && exit
echo no such plugin >&2
exit 1
