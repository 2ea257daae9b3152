import { join } from 'node:path';
import type { Options } from '@grpc/proto-loader';

export const protoDir = join(import.meta.dirname, 'proto');

/**
 * The JavaScript form of messages, for every service:
 * - field names in camelCase (keepCase false);
 * - 64-bit integers as numbers: sizes and counts stay far below 2^53; CRI's nanosecond timestamps lose their low 8 bits;
 * - enum values by name; absent scalars, lists and maps as defaults, absent messages as null.
 */
export const wireOptions: Options = {
  includeDirs: [protoDir],
  keepCase: false,
  longs: Number,
  enums: String,
  defaults: true,
};
