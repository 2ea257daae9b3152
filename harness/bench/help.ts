import type { Workload } from '../../workloads/workload.ts';
import type { KnownModes } from '../run/known-modes.ts';
import type { Mode } from '../run/mode.ts';

/** Fits 80 columns. */
export function helpText(workloads: readonly Workload[], defaults: readonly Workload[], modes: KnownModes): string {
  const names = (items: readonly (Workload | Mode)[]) => items.map((item) => item.name).join(',');
  return `Measures how long container images take from pull to ready: whole (legacy),
lazily (stargz) and lazily in the order of use (estargz). Everything it needs is
built or installed here; nothing that runs on this machine is touched.

  npm run bench                                the whole comparison, as root
  npm run bench -- --workloads python --samples 6
  npm run bench -- --rtt 100ms --bandwidth 50mbit
  npm run bench -- --image REF --ready-port 80 your own image, with a verdict
  npm run bench -- --dry-run                   what it would do

What is measured
  --workloads A,B    default ${names(defaults)};
                     --list has all ${workloads.length}. Or @all, @CATEGORY, a pattern: 'p*'
  --modes A,B        default ${names(modes.defaults)}; --list has them all.
                     NAME+again: after the same container; NAME+shared: after
                     one of another image that shares layers
  --peers FILE       snapshotters of others, as modes PEER:VARIANT
                                             (default: modes/peers.toml here)
  --mount A,B        how lazy modes mount: fuse, erofs; each of them with each
                     that is named             (default: the daemon's choice)
  --base REF         each mode of ours also with the daemon of that commit of
                     this project, as base:MODE, in the same run
  --samples N        of each workload in each mode, 1 to 1000; 6 or more give
                     confidence intervals and verdicts              (default 3)
  --until 5%         samples until every speed-up is known to ± 5 %, at most
                     --samples of them
  --budget TIME      begins no block that would end later: 90s, 30m, 2h
  --timeline         after the samples one more start of each, traced and no
                     sample: timeline.csv and its chart
  --shard I/N        part I of N of the blocks, for N machines; with --seed
  --seed N           order of the cells, 0 to 4294967295    (default: drawn,
                     and recorded in environment.json)

Your own image, instead of those workloads or beside them
  --image REF        NAME:TAG in a registry, docker-daemon:NAME, oci:DIR[:TAG],
                     docker-archive:FILE[:NAME]
  --command WORDS    its arguments, quoted as for a shell; --entrypoint WORDS
  --env NAME=VALUE   recorded in environment.json, as all options are
  --mount SRC:DST    each run gets a copy; --stdin FILE, --user USER, --cwd DIR
  --ready-line RE    ready when it prints such a line; --ready-http URL and
                     --ready-port PORT: when it answers in its own network;
                     --ready-exit: when it ends (default, for at most 30s)
  --ready-limit TIME how long that may take                   (default 120s)

Where images come from
  --registry NAME    embedded; or docker.io/NAMESPACE, ghcr.io/NAMESPACE,
                     HOST/NAMESPACE, where npm run images -- prepare has
                     pushed them                            (default embedded)
  --source NAME      of the originals: debian (built here), official (Docker
                     Hub's), REGISTRY/NAMESPACE of converted images
                                                              (default debian)
  --tags A=TAG,...   tags in place of those that the workloads name
  --hosts-dir DIR    containerd's hosts.toml files, for mirrors and private
                     CAs               (default /etc/containerd/certs.d if any)

The link between registry and client (emulated, both directions; with another
registry only if one of these is given)
  --rtt TIME         round trip: 0, 30ms, 0.1s                   (default 30ms)
  --bandwidth RATE   shared by all connections: 800kbit, 200mbit, 1gbit,
                     unlimited                                (default 200mbit)
                     Several of either are a grid: --rtt 0,30ms,100ms
  --slow-start       each connection starts with ten segments, as TCP does
  --loss SHARE       of the segments: 0.1%; with slow start         (default 0)

Where things go
  --out DIR          results: DIR/bench/<run-id>/samples.csv, summary.csv,
                     environment.json, charts and report      (default results)
  --state-dir DIR    images, registry, containers; kept for the next run
                                           (default /var/lib/stargz-bench)

A run that was cut off
  --resume DIR       measures what it lacks, with its seed and its options;
                     traces what failed to be traced; refuses another commit,
                     machine, modes or images
  --resume-anyway    does not refuse

Instead of a run
  --list             workloads and modes
  --dry-run          the plan, the packages it would install; changes nothing
  --help, -h         this text

Exit status: 0 done, 1 failed or a cell failed, 2 wrong usage, 130 interrupted.
Ctrl-C stops at any moment, cleans up and keeps the samples measured so far.
Set NO_COLOR to print without colour.
`;
}
