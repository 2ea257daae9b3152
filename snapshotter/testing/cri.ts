import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openClient } from '../api/client.ts';
import type { AuthConfig } from '../api/types/cri.ts';

/** Tables for containerd 1.x, as on a Kubernetes node that uses the snapshotter. */
export function criConfig(directory: string, stargzAddress: string, pauseImage: string): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `
[proxy_plugins.stargz]
  type = "snapshot"
  address = "${stargzAddress}"
[${cri}]
  sandbox_image = "${pauseImage}"
  stream_server_port = "0"
  restrict_oom_score_adj = true
[${cri}.containerd]
  snapshotter = "stargz"
  disable_snapshot_annotations = false
[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[${cri}.cni]
  bin_dir = "${join(directory, 'cni/bin')}"
  conf_dir = "${join(directory, 'cni/conf')}"
`;
}

export interface Kubelet {
  pull(image: string, auth?: Partial<AuthConfig>): Promise<string>;
  /** Runs a container in a pod of its own, on the host's network, until it exits. */
  run(image: string, command: readonly string[]): Promise<{ exitCode: number; output: string }>;
  remove(image: string): Promise<void>;
  close(): void;
}

/** What a RuntimeClass and a pod's metadata make of every pod. */
export interface PodClass {
  readonly runtimeHandler?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The kubelet's part: images through `imageAddress`, pods through `runtimeAddress`. */
export function openKubelet(
  directory: string,
  runtimeAddress: string,
  imageAddress: string,
  { runtimeHandler = '', annotations = {} }: PodClass = {},
): Kubelet {
  const images = openClient('runtime.v1.ImageService', imageAddress, { timeoutMs: 60_000 });
  const runtime = openClient('runtime.v1.RuntimeService', runtimeAddress, { timeoutMs: 60_000 });
  const logDirectory = join(directory, 'pods');
  mkdirSync(logDirectory, { recursive: true });
  let count = 0;
  return {
    async pull(image, auth) {
      const { imageRef } = await images.pullImage({
        image: { image },
        sandboxConfig: { annotations: { ...annotations } },
        ...(auth === undefined ? {} : { auth }),
      });
      return imageRef;
    },
    async remove(image) {
      await images.removeImage({ image: { image } });
    },
    async run(image, command) {
      const name = `pod-${count++}`;
      const host = { network: 'NODE', pid: 'NODE', ipc: 'NODE' } as const;
      const sandboxConfig = {
        metadata: { name, uid: name, namespace: 'test', attempt: 0 },
        logDirectory,
        annotations: { ...annotations },
        linux: { securityContext: { namespaceOptions: host } },
      };
      const { podSandboxId } = await runtime.runPodSandbox({ config: sandboxConfig, runtimeHandler });
      try {
        const { containerId } = await runtime.createContainer({
          podSandboxId,
          config: {
            metadata: { name, attempt: 0 },
            image: { image },
            command: [...command],
            logPath: `${name}.log`,
            linux: { securityContext: { namespaceOptions: host } },
          },
          sandboxConfig,
        });
        await runtime.startContainer({ containerId });
        for (let tries = 0; tries < 600; tries++) {
          const { status } = await runtime.containerStatus({ containerId });
          if (status?.state === 'CONTAINER_EXITED') {
            const lines = readFileSync(join(logDirectory, `${name}.log`), 'utf8').split('\n');
            // "<time> stdout F <text>"
            const output = lines.map((line) => line.split(' ').slice(3).join(' ')).join('\n');
            await runtime.removeContainer({ containerId });
            return { exitCode: status.exitCode, output };
          }
          await delay(50);
        }
        throw new Error(`${image}: ${command.join(' ')} did not end within 30 s`);
      } finally {
        await runtime.stopPodSandbox({ podSandboxId });
        await runtime.removePodSandbox({ podSandboxId });
      }
    },
    close() {
      images.close();
      runtime.close();
    },
  };
}
