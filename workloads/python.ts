import { buildpackDeps, recipe } from './recipes.ts';
import type { Workload } from './workload.ts';

export const python: Workload = {
  name: 'python',
  title: 'a one-liner: python3 -c \'print("hello")\'',
  image: recipe('python', buildpackDeps),
  command: ['python3', '-c', 'print("hello")'],
  env: [],
  stdin: undefined,
  ready: { kind: 'exit', stdout: 'hello\n' },
  timeoutMs: 120_000,
};

/** Reads many more files than the one-liner, from an image not optimised for it. Not in the default set. */
export const numpy: Workload = {
  ...python,
  name: 'numpy',
  title: 'python3 imports numpy',
  command: ['python3', '-c', 'import numpy; print(int(numpy.arange(4).sum()))'],
  ready: { kind: 'exit', stdout: '6\n' },
};
