import { estargz } from './estargz.ts';
import { legacy } from './legacy.ts';
import type { Mode } from '../../run/mode.ts';
import { stargz } from './stargz.ts';

/** The modes of the comparison, in the order in which tables and charts show them. */
export const modes: readonly Mode[] = [legacy, stargz, estargz];
