import { buildpackDeps, recipe } from './recipes.ts';
import type { Workload } from './workload.ts';

const program = `#include <stdio.h>

int main(void) {
  printf("hello from %s\\n", "gcc");
  return 0;
}
`;

export const gcc: Workload = {
  name: 'gcc',
  title: 'compiles a C program from standard input and runs it',
  image: recipe('gcc', buildpackDeps),
  command: ['sh', '-c', 'gcc -x c -o /tmp/hello - && /tmp/hello'],
  env: [],
  stdin: program,
  ready: { kind: 'exit', stdout: 'hello from gcc\n' },
  timeoutMs: 120_000,
};
