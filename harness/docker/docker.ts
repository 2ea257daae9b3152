import { access, mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import Dockerode from 'dockerode';
import type { Credential } from '../../snapshotter/registry/keychain.ts';
import { HarnessError, messageOf } from '../cli/error.ts';
import { Containerd } from '../containerd/containerd.ts';
import { findCommand, searchPath } from '../host/commands.ts';
import type { ProcessCost } from '../host/processes.ts';
import { type ProcessEnd, Service } from '../host/service.ts';

export interface DockerOptions {
  /** The engine and its containerd write nothing outside of it. */
  readonly directory: string;
  /** Its containers' control groups lie below the one with this name. */
  readonly cgroupParent: string;
  /** Path of containerd. Default: the one on PATH. */
  readonly containerdCommand?: string | undefined;
  /** Over this process's own. */
  readonly env?: Readonly<Record<string, string>>;
}

const startLimitMs = 60_000;
const stopGraceMs = 20_000;
const pullLimitMs = 900_000;
/** Before 24.0 an engine writes its key there, whatever its options say. */
const keyPath = '/etc/docker/key.json';

/** A private Docker Engine, which shares nothing with that of the machine: own state, socket and containerd, no bridge, no iptables. */
export class Docker {
  readonly client: Dockerode;
  readonly containerd: Containerd;
  readonly #service: Service;
  readonly #removeKey: () => Promise<void>;

  private constructor(service: Service, client: Dockerode, containerd: Containerd, removeKey: () => Promise<void>) {
    this.#service = service;
    this.#removeKey = removeKey;
    this.client = client;
    this.containerd = containerd;
  }

  static async start(
    { directory, cgroupParent, containerdCommand, env: ownEnv }: DockerOptions,
    signal: AbortSignal,
  ): Promise<Docker> {
    const command = await findCommand('dockerd');
    if (command === undefined) {
      throw new HarnessError('missing-command', 'cannot start Docker Engine: it is not installed', {
        remedy: 'apt-get install docker.io',
      });
    }
    const at = (name: string) => join(directory, name);
    await mkdir(directory, { recursive: true });
    // With a file of its own, dockerd does not read /etc/docker/daemon.json.
    await writeFile(at('daemon.json'), '{}\n');
    const removeKey = await keepKey();
    // dockerd would use the machine's containerd if that runs.
    const containerd = await Containerd.start(
      { directory: at('containerd'), snapshotter: 'overlayfs', command: containerdCommand },
      signal,
    );
    try {
      const args = [
        ...['--config-file', at('daemon.json'), '--host', `unix://${at('docker.sock')}`, '--pidfile', at('docker.pid')],
        ...['--data-root', at('data'), '--exec-root', at('exec'), '--containerd', containerd.address],
        ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
        ...['--storage-driver', 'overlay2', '--exec-opt', 'native.cgroupdriver=cgroupfs'],
        ...['--cgroup-parent', `/${cgroupParent}`, '--log-level', 'warn'],
      ];
      const env = { ...process.env, ...ownEnv, PATH: searchPath().join(':') };
      const logPath = at('docker.log');
      const service = await Service.start({ name: 'Docker Engine', command, args, env, logPath });
      const client = new Dockerode({ socketPath: at('docker.sock') });
      try {
        await service.waitUntil(() => client.ping(), startLimitMs, signal);
        return new Docker(service, client, containerd, removeKey);
      } catch (error) {
        await service.stop(stopGraceMs);
        await removeKey();
        throw error;
      }
    } catch (error) {
      await containerd.stop();
      throw error;
    }
  }

  cost(): Promise<ProcessCost | undefined> {
    return this.#service.cost();
  }

  /** The ends of their logs if the engine or its containerd have ended by themselves. */
  async explainEnds(): Promise<string[]> {
    const ends = await Promise.all([this.#service.explainEnd(), this.containerd.explainEnd()]);
    return ends.filter((end) => end !== undefined);
  }

  /** What `docker pull` does: resolves when the image is downloaded and unpacked. */
  async pull(reference: string, signal: AbortSignal, credential?: Credential): Promise<void> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(pullLimitMs)]);
    const auth = credential === undefined ? {} : { authconfig: authOf(credential) };
    const progress = await this.client.pull(reference, { abortSignal: limited, ...auth });
    const done = Promise.withResolvers<void>();
    // A progress that is cut off by an abort may never end.
    limited.addEventListener('abort', () => done.reject(limited.reason), { once: true });
    this.client.modem.followProgress(progress, (error) => (error === null ? done.resolve() : done.reject(error)));
    await done.promise.catch((cause: unknown) => {
      limited.throwIfAborted();
      throw new HarnessError('not-ready', `docker pull ${reference}: ${messageOf(cause)}`, { cause });
    });
  }

  async stop(): Promise<ProcessEnd> {
    try {
      return await this.#service.stop(stopGraceMs);
    } finally {
      await this.#removeKey();
      await this.containerd.stop();
    }
  }
}

/** AuthConfig of the Engine API. */
function authOf(credential: Credential): Readonly<Record<string, string>> {
  switch (credential.kind) {
    case 'basic':
      return { username: credential.username, password: credential.password };
    case 'identity-token':
      return { identitytoken: credential.token };
    case 'registry-token':
      return { registrytoken: credential.token };
  }
}

/** Returns what removes the key, and its directory, if they were not there before. */
async function keepKey(): Promise<() => Promise<void>> {
  const isThere = (path: string) =>
    access(path).then(
      () => true,
      () => false,
    );
  if (await isThere(keyPath)) return async () => {};
  const hadDirectory = await isThere(dirname(keyPath));
  return async () => {
    await rm(keyPath, { force: true });
    if (!hadDirectory) await rmdir(dirname(keyPath)).catch(() => {});
  };
}
