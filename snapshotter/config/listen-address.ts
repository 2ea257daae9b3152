export interface ListenAddress {
  /** Undefined: all addresses of the machine, as in `:8234`. */
  readonly host: string | undefined;
  readonly port: number;
}

/** `host:port`, the host empty or an IPv6 address in brackets; undefined for anything else. */
export function parseListenAddress(address: string): ListenAddress | undefined {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(address.replace(/^tcp:\/\//, ''));
  if (found === null || Number(found[3]) > 65_535) return undefined;
  return { host: found[1] ?? (found[2] === '' ? undefined : found[2]), port: Number(found[3]) };
}
