import { debian, recipe } from './recipes.ts';
import type { Workload } from './workload.ts';

export const tomcat: Workload = {
  name: 'tomcat',
  title: 'starts a servlet container on a JVM',
  image: recipe('tomcat', debian),
  command: undefined,
  env: [],
  stdin: undefined,
  ready: { kind: 'line', pattern: /Server startup in/ },
  timeoutMs: 180_000,
};
