#!/bin/sh
# Stands in for a containerd-stargz-grpc of others: one program that takes the same flags. Here it becomes our own daemon.
root=$(dirname "$0")/../../..
exec "$root/node_modules/.bin/node" "$root/snapshotter/main.ts" "$@"
