import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Mount } from '../../snapshotter/api/types/types.ts';
import type { SourceMount, Workload } from '../../workloads/workload.ts';
import type { ContainerdClient } from './client.ts';
import { gcRoot } from './gc-root.ts';
import type { PulledImage } from './image.ts';
import { buildSpec } from './oci-spec.ts';
import { type StartedContainer, startUntilReady } from './readiness.ts';
import { copySources } from './source-copy.ts';
import { type ContainerUser, findUser, parseNumericUser } from './image-user.ts';
import { mountAt, unmountUnder } from '../host/mounts.ts';
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

/** One container of a pulled image. `prepare` is not part of any phase; `create` and `runUntilReady` are phases. */
export class Container {
  readonly #client: ContainerdClient;
  readonly #request: ContainerRequest;
  readonly #io: TaskIo;
  readonly #files: Readonly<Record<string, string>>;
  readonly #directories: readonly SourceMount[];
  #mounts: Mount[] = [];
  #state: 'prepared' | 'created' | 'started' = 'prepared';

  private constructor(
    client: ContainerdClient,
    request: ContainerRequest,
    io: TaskIo,
    host: { readonly files: Record<string, string>; readonly directories: readonly SourceMount[] },
  ) {
    this.#client = client;
    this.#request = request;
    this.#io = io;
    this.#files = host.files;
    this.#directories = host.directories;
  }

  /** Creates what does not need the image: the standard streams, the files that an engine puts into /etc, the sources. */
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
    const directories = await copySources(workload, join(directory, 'sources'));
    return new Container(client, request, io, { files, directories });
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
    const user = await this.#resolveUser(workload.overrides?.user ?? image.runConfig.User ?? '');
    const spec = buildSpec({
      image: image.runConfig,
      command: workload.command,
      overrides: workload.overrides,
      user,
      env: workload.env,
      hostname: id,
      cgroupsPath: `/${id}`,
      files: this.#files,
      directories: this.#directories,
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
    await startUntilReady(workload, id, this.#io.output, (limited) => this.#start(limited), signal);
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

  /** A name is looked up in the image, as every engine does before it starts a container. */
  async #resolveUser(text: string): Promise<ContainerUser> {
    const numeric = parseNumericUser(text);
    if (numeric !== undefined) return numeric;
    const target = join(this.#request.directory, 'root');
    await mountAt(this.#mounts, target);
    try {
      return await findUser(text, target);
    } finally {
      await unmountUnder(target);
    }
  }

  async #start(signal: AbortSignal): Promise<StartedContainer> {
    const { id, workload } = this.#request;
    const { tasks } = this.#client;
    const { stdin, stdout, stderr, output } = this.#io;
    this.#state = 'started';
    // The signal limits the calls: the client's default timeout must not.
    const options = { signal, timeoutMs: workload.timeoutMs + 1000 };
    await tasks.create({ containerId: id, rootfs: this.#mounts, stdin, stdout, stderr }, options);
    const { pid } = await tasks.start({ containerId: id }, options);
    if (stdin !== '') {
      // The shim keeps its own writing end open so that a client may reattach; this closes it.
      this.#io.closeInput();
      await tasks.closeIo({ containerId: id, stdin: true }, options);
    }
    const exited = tasks.wait({ containerId: id }, options).then(({ exitStatus }) => exitStatus);
    return { id, pid, exited, output, drained: this.#io.ended };
  }
}
