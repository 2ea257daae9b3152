import {
  errno,
  getUint64,
  opcode,
  readIn,
  reply,
  replyHeaderBytes,
  request,
  requestHeaderBytes,
  xattrIn,
} from './wire.ts';

/** One request of the kernel, as the worker saw it. */
export interface RequestTrace {
  /** `READ`, or the opcode's number if wire.ts has no name for it. */
  readonly operation: string;
  readonly slot: number;
  readonly inode: number;
  /** Thread that asked, in the mount's pid namespace; 0 for readahead. */
  readonly pid: number;
  /** LOOKUP: the name; GETXATTR: the attribute. */
  readonly name: string | undefined;
  /** READ, READDIR and READDIRPLUS. */
  readonly offset: number | undefined;
  readonly sizeBytes: number | undefined;
  /** `missed`: a READ of missing bytes, answered later by the main thread. `none`: the kernel expects no reply. */
  readonly outcome: 'answered' | 'missed' | 'none';
  /** Name of the errno of an error reply. */
  readonly error: string | undefined;
  readonly replyBytes: number;
  readonly durationUs: number;
}

/** The late reply to a missed READ. */
export interface ReplyTrace {
  readonly slot: number;
  readonly inode: number;
  readonly pid: number;
  readonly dataOffset: number;
  readonly sizeBytes: number;
  readonly error: string | undefined;
  readonly waitedMs: number;
}

const operationNames = new Map<number, string>(Object.entries(opcode).map(([name, code]) => [code, name]));
const errorNames = new Map<number, string>(Object.entries(errno).map(([name, code]) => [code, name]));
const unanswered: ReadonlySet<number> = new Set([
  opcode.FORGET,
  opcode.BATCH_FORGET,
  opcode.INTERRUPT,
  opcode.NOTIFY_REPLY,
]);
const ranged: ReadonlySet<number> = new Set([opcode.READ, opcode.READDIR, opcode.READDIRPLUS]);

export function errorName(code: number): string | undefined {
  return code === 0 ? undefined : (errorNames.get(code) ?? String(code));
}

/** Describes requests from a worker's two buffers. Exists only in workers that trace. */
export class RequestTracer {
  readonly #input: Buffer;
  readonly #in: DataView;
  readonly #out: DataView;
  readonly #report: (trace: RequestTrace) => void;
  #startedMs = 0;
  #isMissed = false;

  constructor(input: Buffer, output: Buffer, report: (trace: RequestTrace) => void) {
    this.#input = input;
    this.#in = new DataView(input.buffer, input.byteOffset, input.length);
    this.#out = new DataView(output.buffer, output.byteOffset, output.length);
    this.#report = report;
  }

  begin(): void {
    this.#startedMs = performance.now();
    this.#isMissed = false;
  }

  missed(): void {
    this.#isMissed = true;
  }

  /** The request in input[0, length) was handled; the reply's header, if there is one, is in the output buffer. */
  end(length: number): void {
    if (length < requestHeaderBytes) return;
    const code = this.#in.getUint32(request.opcode, true);
    const outcome = this.#isMissed ? 'missed' : unanswered.has(code) ? 'none' : 'answered';
    const isAnswered = outcome === 'answered';
    const isRanged = ranged.has(code) && length >= readIn.end;
    this.#report({
      operation: operationNames.get(code) ?? String(code),
      slot: this.#in.getUint32(request.nodeSlot, true),
      inode: this.#in.getUint32(request.nodeInode, true),
      pid: this.#in.getUint32(request.pid, true),
      name: this.#nameOf(code, length),
      offset: isRanged ? getUint64(this.#in, readIn.offset) : undefined,
      sizeBytes: isRanged ? this.#in.getUint32(readIn.size, true) : undefined,
      outcome,
      error: isAnswered ? errorName(-this.#out.getInt32(reply.error, true)) : undefined,
      replyBytes: isAnswered ? this.#out.getUint32(reply.length, true) - replyHeaderBytes : 0,
      durationUs: Math.round((performance.now() - this.#startedMs) * 1000),
    });
  }

  #nameOf(code: number, length: number): string | undefined {
    if (code === opcode.LOOKUP) return this.#input.toString('utf8', requestHeaderBytes, length - 1);
    return code === opcode.GETXATTR ? this.#input.toString('utf8', xattrIn.end, length - 1) : undefined;
  }
}
