import type { Fault } from './fault.ts';
import { pushFaults } from './push-faults.ts';
import { readFaults } from './read-faults.ts';
import { tokenFaults } from './token-faults.ts';

export type { Fault } from './fault.ts';

/** The whole table. Names are unique, since results and replays refer to them. */
export const faults: readonly Fault[] = [...readFaults, ...tokenFaults, ...pushFaults];

/** The fault with this name; throws if the table has none. */
export function fault(name: string, change: Partial<Fault> = {}): Fault {
  const found = faults.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no fault is named ${name}`);
  return { ...found, ...change };
}
