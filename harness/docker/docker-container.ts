import { once } from 'node:events';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type Dockerode from 'dockerode';
import type { RunOverrides, SourceMount, Workload } from '../../workloads/workload.ts';
import { HarnessError } from '../cli/error.ts';
import { OutputLines, type StreamName } from '../containerd/output-lines.ts';
import { copySources } from '../containerd/source-copy.ts';
import { type StartedContainer, startUntilReady } from '../containerd/readiness.ts';

/** A container of Docker Engine. `create` and `runUntilReady` are phases, as of a container of containerd. */
export class DockerContainer {
  readonly #client: Dockerode;
  readonly #id: string;
  readonly #workload: Workload;
  readonly #output = new OutputLines();
  #container: Dockerode.Container | undefined;

  readonly #directories: readonly SourceMount[];

  private constructor(client: Dockerode, id: string, workload: Workload, directories: readonly SourceMount[]) {
    this.#client = client;
    this.#id = id;
    this.#workload = workload;
    this.#directories = directories;
  }

  /** Creates what does not need the image: a copy of the sources below `directory`. */
  static async prepare(
    client: Dockerode,
    { id, workload, directory }: { readonly id: string; readonly workload: Workload; readonly directory: string },
  ): Promise<DockerContainer> {
    return new DockerContainer(client, id, workload, await copySources(workload, join(directory, id)));
  }

  /** Like a container of the other modes, it has loopback alone, and what it prints is not logged. */
  async create(image: string, signal: AbortSignal): Promise<void> {
    const { command, overrides = {}, env, stdin } = this.#workload;
    const hasInput = stdin !== undefined;
    this.#container = await this.#client.createContainer({
      name: this.#id,
      Image: image,
      Hostname: this.#id,
      ...(command === undefined ? overriding(overrides) : { Entrypoint: [...command], Cmd: [] }),
      Env: [...env],
      AttachStdin: hasInput,
      OpenStdin: hasInput,
      StdinOnce: hasInput,
      AttachStdout: true,
      AttachStderr: true,
      HostConfig: {
        NetworkMode: 'none',
        LogConfig: { Type: 'none', Config: {} },
        Binds: this.#directories.map(({ source, target }) => `${source}:${target}`),
      },
      abortSignal: signal,
    });
  }

  async runUntilReady(signal: AbortSignal): Promise<void> {
    await startUntilReady(this.#workload, this.#id, this.#output, (limited) => this.#start(limited), signal);
  }

  /** Kills and deletes it in whatever state it is. */
  async stop(): Promise<void> {
    const container = this.#container;
    this.#container = undefined;
    await container?.remove({ force: true, v: true }).catch((error: { statusCode?: number }) => {
      if (error.statusCode !== 404) throw error;
    });
  }

  async #start(signal: AbortSignal): Promise<StartedContainer> {
    const container = this.#container;
    if (container === undefined) throw new HarnessError('start', `${this.#id} was not created`);
    const { stdin } = this.#workload;
    const attach = { stream: true, stdin: stdin !== undefined, stdout: true, stderr: true, hijack: true };
    const stream = await container.attach({ ...attach, abortSignal: signal });
    const drained = Promise.all([once(stream, 'close'), this.#collect(stream)]);
    // The wait must begin before the start, or it would miss the exit of what ends at once.
    const waiting = container.wait({ condition: 'next-exit', abortSignal: signal });
    const exited = waiting.then(({ StatusCode }: { StatusCode: number }) => StatusCode);
    exited.catch(() => {});
    await container.start({ abortSignal: signal });
    if (stdin !== undefined) stream.end(stdin);
    const { State } = await container.inspect({ abortSignal: signal });
    return { id: this.#id, pid: State.Pid, exited, output: this.#output, drained };
  }

  /** Resolves when both streams have been read to their end. */
  async #collect(stream: NodeJS.ReadWriteStream): Promise<void> {
    const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
    this.#client.modem.demuxStream(stream, streams.stdout, streams.stderr);
    for (const name of ['stdout', 'stderr'] satisfies StreamName[]) {
      streams[name].setEncoding('utf8').on('data', (text: string) => this.#output.append(name, text));
    }
    await once(stream, 'end');
  }
}

function overriding({ entrypoint, args, user, cwd }: RunOverrides) {
  return {
    ...(entrypoint === undefined ? {} : { Entrypoint: [...entrypoint] }),
    ...(args === undefined ? {} : { Cmd: [...args] }),
    ...(user === undefined ? {} : { User: user }),
    ...(cwd === undefined ? {} : { WorkingDir: cwd }),
  };
}
