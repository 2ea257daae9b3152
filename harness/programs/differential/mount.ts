import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import type { Mount } from '../../../snapshotter/api/types/types.ts';

const libc = koffi.load('libc.so.6');
const libcMount = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const libcUmount2 = libc.func('int umount2(const char *target, int flags)');

const flagOf: Readonly<Record<string, number>> = { ro: 1, rw: 0, bind: 4096, rbind: 4096 | 16384 };

/** mount(2) of what a snapshotter returned; without a process for each, as thousands are to be done. */
export function mountSnapshot({ type, source, options }: Mount, target: string): void {
  const flags = options.reduce((all, option) => all | (flagOf[option] ?? 0), 0);
  const data = options.filter((option) => flagOf[option] === undefined).join(',');
  check(`mount ${type} on ${target}`, libcMount(source, target, type, flags, data));
}

export function unmountSnapshot(target: string): void {
  check(`umount ${target}`, libcUmount2(target, 0));
}

function check(call: string, result: number): void {
  if (result !== 0) throw new Error(`${call}: ${getSystemErrorName(-koffi.errno())}`);
}
