import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Mount } from '../../snapshotter/api/types/types.ts';
import type { Ready, Workload } from '../../workloads/workload.ts';
import { HarnessError, lastLines } from '../cli/error.ts';
import type { ContainerdClient } from './client.ts';
import { gcRoot } from './gc-root.ts';
import type { PulledImage } from './image.ts';
import { buildSpec } from './oci-spec.ts';
import { encodeRuncOptions } from './runc-options.ts';
import { TaskIo } from './task-io.ts';

export interface ContainerRequest {
  /** Unique on this machine while the container exists; also names its control group. */
  readonly id: string;
  /** For FIFOs, files of /etc and runc's state. */
  readonly directory: string;
  readonly snapshotter: string;
  readonly workload: Workload;
}

const stopLimitMs = 10_000;
/** How long the shim may take to deliver the output of a container that has ended. */
const drainLimitMs = 5_000;

/** One container of a pulled image. `prepare` is not part of any phase; `create` and `runUntilReady` are phases. */
export class Container {
  readonly #client: ContainerdClient;
  readonly #request: ContainerRequest;
  readonly #io: TaskIo;
  readonly #files: Readonly<Record<string, string>>;
  #mounts: Mount[] = [];
  #state: 'prepared' | 'created' | 'started' = 'prepared';

  private constructor(client: ContainerdClient, request: ContainerRequest, io: TaskIo, files: Record<string, string>) {
    this.#client = client;
    this.#request = request;
    this.#io = io;
    this.#files = files;
  }

  /** Creates what does not need the image: the standard streams, and the files that an engine puts into /etc. */
  static async prepare(client: ContainerdClient, request: ContainerRequest): Promise<Container> {
    const { directory, workload, id } = request;
    await mkdir(directory, { recursive: true });
    const texts = {
      hostname: `${id}\n`,
      hosts: `127.0.0.1 localhost ${id}\n::1 localhost ip6-localhost ip6-loopback\n`,
      'resolv.conf': '',
    };
    const files: Record<string, string> = {};
    for (const [name, text] of Object.entries(texts)) {
      files[`/etc/${name}`] = join(directory, name);
      await writeFile(join(directory, name), text);
    }
    const io = await TaskIo.open(join(directory, 'io'), workload.stdin);
    return new Container(client, request, io, files);
  }

  /** Phase `create`: prepares a writable snapshot on the top layer, and creates the container in containerd. */
  async create(image: PulledImage, signal: AbortSignal): Promise<void> {
    const { id, snapshotter, workload, directory } = this.#request;
    const parent = image.chainIds.at(-1) ?? '';
    this.#state = 'created';
    const prepared = await this.#client.snapshots.prepare(
      { snapshotter, key: id, parent, labels: gcRoot() },
      { signal },
    );
    this.#mounts = prepared.mounts;
    const spec = buildSpec({
      image: image.runConfig,
      command: workload.command,
      env: workload.env,
      hostname: id,
      cgroupsPath: `/${id}`,
      files: this.#files,
    });
    const options = encodeRuncOptions({ root: join(directory, 'runc') });
    await this.#client.containers.create(
      {
        container: {
          id,
          image: image.reference,
          runtime: { name: 'io.containerd.runc.v2', options },
          spec: {
            type_url: 'types.containerd.io/opencontainers/runtime-spec/1/Spec',
            value: Buffer.from(JSON.stringify(spec)),
          },
          snapshotter,
          snapshotKey: id,
        },
      },
      { signal },
    );
  }

  /** Phase `run`: starts the workload and resolves when it is ready. Its time limit starts here. */
  async runUntilReady(signal: AbortSignal): Promise<void> {
    const { id, workload } = this.#request;
    const timeout = AbortSignal.timeout(workload.timeoutMs);
    const limited = AbortSignal.any([signal, timeout]);
    try {
      await this.#start(limited);
      await this.#waitUntilReady(workload.ready, limited);
    } catch (error) {
      signal.throwIfAborted();
      if (!timeout.aborted) throw error;
      throw new HarnessError(
        'timeout',
        `${workload.name} in ${id} was not ready after ${workload.timeoutMs / 1000} s: ${this.#said()}`,
        { cause: error },
      );
    }
  }

  /** Kills and deletes the container in whatever state it is. Tries every step, then throws the first failure. */
  async stop(): Promise<void> {
    const { id, snapshotter } = this.#request;
    const { tasks, containers, snapshots } = this.#client;
    const options = { timeoutMs: stopLimitMs };
    const failures: unknown[] = [];
    const attempt = async (step: Promise<unknown>) => {
      try {
        await step;
      } catch (error) {
        const gone = (error as { code?: string }).code;
        if (gone !== 'NOT_FOUND' && gone !== 'FAILED_PRECONDITION') failures.push(error);
      }
    };
    if (this.#state === 'started') {
      await attempt(tasks.kill({ containerId: id, signal: 9, all: true }, options));
      await attempt(tasks.wait({ containerId: id }, options));
      await attempt(tasks.delete({ containerId: id }, options));
    }
    this.#io.close();
    if (this.#state !== 'prepared') {
      await attempt(containers.delete({ id }, options));
      await attempt(snapshots.remove({ snapshotter, key: id }, options));
    }
    this.#state = 'prepared';
    if (failures.length > 0) throw failures[0];
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { id } = this.#request;
    const { tasks } = this.#client;
    const { stdin, stdout, stderr } = this.#io;
    this.#state = 'started';
    // The signal limits the call: the client's default timeout must not.
    const options = { signal, timeoutMs: this.#request.workload.timeoutMs + 1000 };
    await tasks.create({ containerId: id, rootfs: this.#mounts, stdin, stdout, stderr }, options);
    await tasks.start({ containerId: id }, options);
    if (stdin === '') return;
    // The shim keeps its own writing end open so that a client may reattach; this closes it.
    this.#io.closeInput();
    await tasks.closeIo({ containerId: id, stdin: true }, options);
  }

  async #waitUntilReady(ready: Ready, signal: AbortSignal): Promise<void> {
    const { id, workload } = this.#request;
    const options = { signal, timeoutMs: workload.timeoutMs + 1000 };
    const exited = this.#client.tasks.wait({ containerId: id }, options);
    switch (ready.kind) {
      case 'exit': {
        const { exitStatus } = await exited;
        await Promise.race([this.#io.ended, delay(drainLimitMs)]);
        if (exitStatus !== 0) throw this.#ended(exitStatus);
        const stdout = this.#io.text('stdout');
        if (stdout === ready.stdout) return;
        throw new HarnessError(
          'not-ready',
          `${workload.name} printed ${JSON.stringify(stdout.slice(0, 200))} instead of ${JSON.stringify(ready.stdout)}`,
        );
      }
      case 'line': {
        const seen = this.#waitForLine(ready.pattern, ready.occurrence ?? 1);
        try {
          const first = await Promise.race([seen.promise, exited]);
          if (first === undefined) return;
          await Promise.race([this.#io.ended, delay(drainLimitMs)]);
          throw this.#ended(first.exitStatus);
        } finally {
          seen.stop();
          // Rejects when the container is killed or the call cancelled, when nothing waits for it any more.
          exited.catch(() => {});
        }
      }
      default:
        // A kind without a case would count as ready at once.
        throw new HarnessError('not-ready', `unknown readiness ${JSON.stringify(ready satisfies never)}`);
    }
  }

  #waitForLine(pattern: RegExp, occurrence: number): { promise: Promise<undefined>; stop: () => void } {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    let count = 0;
    const stop = this.#io.onLine((line) => {
      if (pattern.test(line) && ++count === occurrence) resolve(undefined);
    });
    return { promise, stop };
  }

  #ended(exitStatus: number): HarnessError {
    const { workload } = this.#request;
    return new HarnessError(
      'not-ready',
      `${workload.name} ended with status ${exitStatus} before it was ready: ${this.#said()}`,
    );
  }

  #said(): string {
    return lastLines(this.#io.text('stderr') || this.#io.text('stdout')) || 'it printed nothing';
  }
}

function delay(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs).unref();
  });
}
