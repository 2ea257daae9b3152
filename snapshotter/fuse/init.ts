import { getUint64, replyHeaderBytes, requestHeaderBytes, setUint64 } from './wire.ts';

/**
 * FUSE_INIT, the first request on a connection, negotiates version and flags.
 *
 *     in:  major u32 | minor u32 | max_readahead u32 | flags u32 | flags2 u32 | unused
 *     out: major u32 | minor u32 | max_readahead u32 | flags u32 | max_background u16 | congestion u16 | max_write u32
 *          | time_gran u32 | max_pages u16 | map_alignment u16 | flags2 u32 | max_stack_depth u32 | unused, 64 bytes
 */
const initIn = {
  major: requestHeaderBytes,
  minor: requestHeaderBytes + 4,
  maxReadahead: requestHeaderBytes + 8,
  flags: requestHeaderBytes + 12,
  flags2: requestHeaderBytes + 16,
};

const initOut = {
  major: replyHeaderBytes,
  minor: replyHeaderBytes + 4,
  maxReadahead: replyHeaderBytes + 8,
  flags: replyHeaderBytes + 12,
  maxBackground: replyHeaderBytes + 16,
  congestionThreshold: replyHeaderBytes + 18,
  maxWrite: replyHeaderBytes + 20,
  timeGranularity: replyHeaderBytes + 24,
  maxPages: replyHeaderBytes + 28,
  flags2: replyHeaderBytes + 32,
  end: replyHeaderBytes + 64,
};

/** Bits from 32 on are sent in flags2. JavaScript's bitwise operators take 32 bits only: use `hasFlag`. */
export const initFlag = {
  ASYNC_READ: 2 ** 0,
  EXPORT_SUPPORT: 2 ** 4,
  DO_READDIRPLUS: 2 ** 13,
  READDIRPLUS_AUTO: 2 ** 14,
  ASYNC_DIO: 2 ** 15,
  NO_OPEN_SUPPORT: 2 ** 17,
  PARALLEL_DIROPS: 2 ** 18,
  POSIX_ACL: 2 ** 20,
  MAX_PAGES: 2 ** 22,
  CACHE_SYMLINKS: 2 ** 23,
  NO_OPENDIR_SUPPORT: 2 ** 24,
  EXPLICIT_INVAL_DATA: 2 ** 25,
  INIT_EXT: 2 ** 30,
  HAS_RESEND: 2 ** 39,
  ALLOW_IDMAP: 2 ** 40,
} as const;

/**
 * The result of the negotiation. Plain data: INIT comes only once, so a restarted daemon takes it over with the
 * descriptor.
 */
export interface Negotiated {
  readonly minor: number;
  /**
   * All 64 bits, those of the reply, and NO_OPEN_SUPPORT, NO_OPENDIR_SUPPORT and HAS_RESEND as the kernel offered them.
   */
  readonly flags: number;
}

const majorVersion = 7;
/** The newest minor version that this server knows; the kernel uses the smaller of both. */
const minorVersion = 42;
/** Linux 3.15: since then the reply is 64 bytes long. */
const oldestMinorVersion = 23;

export const maxReadBytes = 1 << 20;
/** The kernel demands at least a page, although nothing writes. */
const maxWriteBytes = 4096;
/** Readahead requests in flight. With the default of 12, a few slow misses would stop all readahead. */
const maxBackground = 1024;

const wanted =
  initFlag.ASYNC_READ +
  initFlag.EXPORT_SUPPORT +
  initFlag.DO_READDIRPLUS +
  initFlag.ASYNC_DIO +
  initFlag.PARALLEL_DIROPS +
  initFlag.POSIX_ACL +
  initFlag.MAX_PAGES +
  initFlag.CACHE_SYMLINKS +
  initFlag.EXPLICIT_INVAL_DATA +
  initFlag.INIT_EXT +
  initFlag.ALLOW_IDMAP;

const onlyOffered = initFlag.NO_OPEN_SUPPORT + initFlag.NO_OPENDIR_SUPPORT + initFlag.HAS_RESEND;

export interface InitAnswer {
  /** Length of the reply, header included. */
  readonly sizeBytes: number;
  /** undefined: the kernel has a newer major version and will send INIT again in ours. */
  readonly negotiated: Negotiated | undefined;
}

/** Fills the body of the reply to a whole INIT request; undefined if the kernel's protocol is too old. */
export function answerInit(input: DataView, output: DataView): InitAnswer | undefined {
  const major = input.getUint32(initIn.major, true);
  const minor = input.getUint32(initIn.minor, true);
  if (major < majorVersion || (major === majorVersion && minor < oldestMinorVersion)) return undefined;
  for (let at = replyHeaderBytes; at < initOut.end; at += 4) output.setUint32(at, 0, true);
  output.setUint32(initOut.major, majorVersion, true);
  output.setUint32(initOut.minor, minorVersion, true);
  if (major > majorVersion) return { sizeBytes: initOut.end, negotiated: undefined };

  const offered = offeredFlags(input);
  let flags = 0;
  for (let bit = 1; bit <= initFlag.ALLOW_IDMAP; bit *= 2)
    if (hasFlag(offered, bit) && hasFlag(wanted, bit)) flags += bit;

  output.setUint32(initOut.maxReadahead, maxReadBytes, true);
  output.setUint32(initOut.flags, flags % 2 ** 32, true);
  output.setUint32(initOut.flags2, Math.floor(flags / 2 ** 32), true);
  output.setUint16(initOut.maxBackground, maxBackground, true);
  output.setUint16(initOut.congestionThreshold, maxBackground - maxBackground / 4, true);
  output.setUint32(initOut.maxWrite, maxWriteBytes, true);
  output.setUint32(initOut.timeGranularity, 1, true);
  output.setUint16(initOut.maxPages, hasFlag(flags, initFlag.MAX_PAGES) ? maxReadBytes / 4096 : 0, true);

  let known = flags;
  for (let bit = 1; bit <= initFlag.HAS_RESEND; bit *= 2)
    if (hasFlag(onlyOffered, bit) && hasFlag(offered, bit)) known += bit;
  return { sizeBytes: initOut.end, negotiated: { minor: Math.min(minor, minorVersion), flags: known } };
}

export function hasFlag(flags: number, flag: number): boolean {
  return Math.floor(flags / flag) % 2 === 1;
}

function offeredFlags(input: DataView): number {
  const low = input.getUint32(initIn.flags, true);
  return hasFlag(low, initFlag.INIT_EXT) ? getUint64(input, initIn.flags) : low;
}

/** An INIT request as the kernel would send it: for tests and for the micro-benchmark. */
export function encodeInitRequest(major: number, minor: number, flags: number): Buffer {
  const bytes = Buffer.alloc(requestHeaderBytes + 64);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint32(0, bytes.length, true);
  view.setUint32(4, 26, true);
  view.setUint32(8, 2, true);
  view.setUint32(initIn.major, major, true);
  view.setUint32(initIn.minor, minor, true);
  view.setUint32(initIn.maxReadahead, 131072, true);
  setUint64(view, initIn.flags, flags);
  return bytes;
}
