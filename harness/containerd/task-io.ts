import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { HarnessError } from '../cli/error.ts';
import { OutputLines, type StreamName } from './output-lines.ts';

/**
 * The standard streams of a task, as FIFOs that its shim opens. Both readers are open before the shim starts, so that no
 * output is lost; each ends when the shim closes its side.
 */
export class TaskIo {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves when both streams have ended and everything was read. */
  readonly ended: Promise<unknown>;
  readonly output = new OutputLines();
  #input: number | undefined;
  readonly #sockets: readonly Socket[];

  private constructor(
    paths: Record<'stdin' | StreamName, string>,
    input: number | undefined,
    outputs: readonly number[],
  ) {
    this.stdin = paths.stdin;
    this.stdout = paths.stdout;
    this.stderr = paths.stderr;
    this.#input = input;
    const names: readonly StreamName[] = ['stdout', 'stderr'];
    this.#sockets = outputs.map((fd) => new Socket({ fd, readable: true, writable: false }));
    this.ended = Promise.all(this.#sockets.map((socket, index) => this.#collect(socket, names[index]!)));
  }

  /** `directory` must not exist yet. Without `input` the container's standard input is empty. */
  static async open(directory: string, input: string | undefined): Promise<TaskIo> {
    await mkdir(directory, { recursive: true });
    const path = (name: string) => join(directory, name);
    const paths = { stdin: input === undefined ? '' : path('stdin'), stdout: path('stdout'), stderr: path('stderr') };
    await execa(
      'mkfifo',
      Object.values(paths).filter((fifo) => fifo !== ''),
    );
    const outputs = [paths.stdout, paths.stderr].map((fifo) =>
      openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK),
    );
    if (input === undefined) return new TaskIo(paths, undefined, outputs);
    // O_RDWR: opening a FIFO for writing only fails while it has no reader (fifo(7)). The pipe buffers the text.
    const fd = openSync(paths.stdin, constants.O_RDWR | constants.O_NONBLOCK);
    const io = new TaskIo(paths, fd, outputs);
    if (writeSync(fd, input) < Buffer.byteLength(input)) {
      io.close();
      throw new HarnessError('usage', 'the standard input of a workload must fit into a pipe (64 KiB)');
    }
    return io;
  }

  /** Closes our writing end; to be called once the shim has opened its own. */
  closeInput(): void {
    if (this.#input !== undefined) closeSync(this.#input);
    this.#input = undefined;
  }

  close(): void {
    this.closeInput();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #collect(socket: Socket, stream: StreamName): Promise<void> {
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.output.append(stream, text));
    await new Promise<void>((resolve) => {
      socket.once('error', () => resolve());
      socket.once('close', () => resolve());
    });
  }
}
