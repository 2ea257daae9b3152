import { debian, recipe } from './recipes.ts';
import type { Workload } from './workload.ts';

export const postgres: Workload = {
  name: 'postgres',
  title: 'makes a database cluster, then serves it',
  image: recipe('postgres', debian),
  command: undefined,
  env: ['POSTGRES_PASSWORD=bench'],
  stdin: undefined,
  // The first such line is from the entry point's temporary server; the second from the one that clients reach.
  ready: { kind: 'line', pattern: /database system is ready to accept connections/, occurrence: 2 },
  timeoutMs: 180_000,
};
