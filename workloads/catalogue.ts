import { gcc } from './gcc.ts';
import { postgres } from './postgres.ts';
import { numpy, python } from './python.ts';
import { tomcat } from './tomcat.ts';
import type { Workload } from './workload.ts';

/** The set of the comparison: what a run measures unless it is told otherwise. */
export const defaultWorkloads: readonly Workload[] = [python, gcc, postgres, tomcat];

/** Every workload there is, in the order in which lists show them. */
export const workloads: readonly Workload[] = [...defaultWorkloads, numpy];

export function findWorkload(name: string): Workload | undefined {
  return workloads.find((workload) => workload.name === name);
}
