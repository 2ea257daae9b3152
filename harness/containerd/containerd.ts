import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import type { CallOptions } from '../../snapshotter/api/client.ts';
import type { AuthConfig } from '../../snapshotter/api/types/cri.ts';
import type { Credential } from '../../snapshotter/registry/keychain.ts';
import { HarnessError } from '../cli/error.ts';
import { findCommand, searchPath } from '../host/commands.ts';
import type { ProcessCost } from '../host/processes.ts';
import { type ProcessEnd, Service } from '../host/service.ts';
import { type ContainerdClient, openContainerdClient } from './client.ts';
import { containerdPaths, formatContainerdConfig, formatHosts } from './config.ts';
import { Container, type ContainerRequest } from './container.ts';
import { type PulledImage, readPulledImage } from './image.ts';
import { type LayerProof, proveLayers } from './proof.ts';

export interface ContainerdOptions {
  /** containerd writes nothing outside of it. It must not hold the state of another containerd. */
  readonly directory: string;
  /** overlayfs, erofs, or the name of the proxy plugin that is served at `snapshotterAddress`. */
  readonly snapshotter: string;
  /** Socket of the snapshotter's daemon. */
  readonly snapshotterAddress?: string | undefined;
  /** `host:port` of a plain-HTTP registry. On loopback, containerd falls back to plain HTTP by itself. */
  readonly registryAddress?: string | undefined;
  /** Registries are reached as this directory of hosts.toml files says. Not together with `registryAddress`. */
  readonly hostsDirectory?: string | undefined;
  /** Path of the program. Default: the one on PATH. Its shim lies beside it. */
  readonly command?: string | undefined;
  /** A directory in which it looks for programs first. */
  readonly path?: string | undefined;
  /** The image of a pod's sandbox container. Only pods need it. */
  readonly pauseImage?: string | undefined;
  /** CRI pulls through the transfer service; containerd 2.1 and later. */
  readonly pullsByTransfer?: boolean | undefined;
  /** Over this process's own. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Default: containerd.log in the directory. */
  readonly logPath?: string | undefined;
}

const startLimitMs = 30_000;
const pullLimitMs = 900_000;

/** A private containerd, which shares nothing with that of the machine. */
export class Containerd {
  readonly client: ContainerdClient;
  readonly #service: Service;
  readonly #options: ContainerdOptions;

  private constructor(options: ContainerdOptions, service: Service, client: ContainerdClient) {
    this.#options = options;
    this.#service = service;
    this.client = client;
  }

  static async start(options: ContainerdOptions, signal: AbortSignal): Promise<Containerd> {
    const command = options.command ?? (await findCommand('containerd'));
    if (command === undefined) {
      throw new HarnessError('missing-command', 'cannot start containerd: it is not installed', {
        remedy: 'apt-get install containerd',
      });
    }
    const { directory, registryAddress } = options;
    const paths = containerdPaths(directory);
    const majorVersion = await readMajorVersion(command);
    await mkdir(paths.hosts, { recursive: true });
    if (registryAddress !== undefined) {
      await mkdir(join(paths.hosts, registryAddress), { recursive: true });
      await writeFile(join(paths.hosts, registryAddress, 'hosts.toml'), formatHosts(registryAddress));
    }
    await writeFile(paths.config, formatContainerdConfig({ ...options, majorVersion }));
    const first = [options.path, options.command && dirname(command)].filter((path) => path !== undefined);
    const service = await Service.start({
      name: 'containerd',
      command,
      args: ['--config', paths.config, '--log-level', 'warn'],
      // containerd looks up the shim and runc on its PATH.
      env: { ...process.env, ...options.env, PATH: [...first, ...searchPath()].join(':') },
      logPath: options.logPath ?? paths.log,
    });
    const client = openContainerdClient(paths.socket);
    try {
      const probe: CallOptions = { signal, timeoutMs: 2_000 };
      await service.waitUntil(
        async () => {
          await client.version.version({}, probe);
          await client.cri.listImages({}, probe);
        },
        startLimitMs,
        signal,
      );
      return new Containerd(options, service, client);
    } catch (error) {
      client.close();
      await service.stop();
      throw error;
    }
  }

  get pid(): number {
    return this.#service.pid;
  }

  cost(): Promise<ProcessCost | undefined> {
    return this.#service.cost();
  }

  /** The end of its log if it has ended by itself. */
  explainEnd(): Promise<string | undefined> {
    return this.#service.explainEnd();
  }

  /** Phase `pull`: the call that a kubelet makes, the same in every mode, with its credential as well. */
  async pull(reference: string, signal: AbortSignal, credential?: Credential): Promise<void> {
    const auth = credential === undefined ? {} : { auth: authOf(credential) };
    await this.client.cri.pullImage({ image: { image: reference }, ...auth }, { signal, timeoutMs: pullLimitMs });
  }

  readImage(reference: string, signal: AbortSignal): Promise<PulledImage> {
    return readPulledImage(this.client, reference, signal);
  }

  prepareContainer(request: Omit<ContainerRequest, 'snapshotter' | 'directory'>): Promise<Container> {
    const { directory, snapshotter } = this.#options;
    return Container.prepare(this.client, {
      ...request,
      snapshotter,
      directory: join(directory, 'containers', request.id),
    });
  }

  prove(image: PulledImage, signal: AbortSignal): Promise<LayerProof> {
    return proveLayers(this.client, this.#options.snapshotter, image, signal);
  }

  /** The path of its socket. */
  get address(): string {
    return containerdPaths(this.#options.directory).socket;
  }

  stop(graceMs?: number, signal?: NodeJS.Signals): Promise<ProcessEnd> {
    this.client.close();
    return this.#service.stop(graceMs, signal);
  }
}

function authOf(credential: Credential): Partial<AuthConfig> {
  switch (credential.kind) {
    case 'basic':
      return { username: credential.username, password: credential.password };
    case 'identity-token':
      return { identityToken: credential.token };
    case 'registry-token':
      return { registryToken: credential.token };
  }
}

async function readMajorVersion(command: string): Promise<number> {
  const { stdout } = await execa(command, ['--version'], { timeout: 10_000, reject: false });
  // "containerd <source> <version> <revision>", the version with or without a v.
  const major = /^containerd\s+\S+\s+v?(\d+)\.\d+/.exec(stdout)?.[1];
  if (major === undefined) {
    throw new HarnessError('unsupported-host', `cannot tell the version of ${command}: ${stdout.slice(0, 100)}`);
  }
  return Number(major);
}
