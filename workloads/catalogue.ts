import { gcc } from './gcc.ts';
import { postgres } from './postgres.ts';
import { numpy, python } from './python.ts';
import { tomcat } from './tomcat.ts';
import type { Workload } from './workload.ts';

/** The workloads that a run measures by default. */
export const defaultWorkloads: readonly Workload[] = [python, gcc, postgres, tomcat];

/** All workloads, in the order in which they are listed. */
export const workloads: readonly Workload[] = [...defaultWorkloads, numpy];

export function findWorkload(name: string): Workload | undefined {
  return workloads.find((workload) => workload.name === name);
}
