import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openClient } from '../snapshotter/api/client.ts';
import type { AuthConfig } from '../snapshotter/api/types/cri.ts';
import { type Lifetime, undoAfter } from './lifetime.ts';
import { until } from './until.ts';

/** Between two looks at a log. */
const settleMs = 100;

export interface Kubelet {
  pull(image: string, auth?: Partial<AuthConfig>): Promise<string>;
  /** Runs a container in its own pod on the host's network until it exits. */
  run(image: string, command: readonly string[]): Promise<{ exitCode: number; output: string }>;
  remove(image: string): Promise<void>;
}

/** What a RuntimeClass and the pod's metadata set. */
export interface PodClass {
  readonly runtimeHandler?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Makes the CRI calls of a kubelet: images through `imageAddress`, pods through `runtimeAddress`. */
export function openKubelet(
  lifetime: Lifetime,
  directory: string,
  runtimeAddress: string,
  imageAddress: string,
  { runtimeHandler = '', annotations = {} }: PodClass = {},
): Kubelet {
  const images = openClient('runtime.v1.ImageService', imageAddress, { timeoutMs: 60_000 });
  const runtime = openClient('runtime.v1.RuntimeService', runtimeAddress, { timeoutMs: 60_000 });
  undoAfter(lifetime, () => {
    images.close();
    runtime.close();
  });
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
        const ended = async () => {
          const { status } = await runtime.containerStatus({ containerId });
          return status?.state === 'CONTAINER_EXITED' ? status : undefined;
        };
        const { exitCode } = await until(`the end of ${command.join(' ')} in ${image}`, ended, { limitMs: 30_000 });
        const lines = (await readSettled(join(logDirectory, `${name}.log`))).split('\n');
        // "<time> stdout F <text>"
        const output = lines.map((line) => line.split(' ').slice(3).join(' ')).join('\n');
        await runtime.removeContainer({ containerId });
        return { exitCode, output };
      } finally {
        await runtime.stopPodSandbox({ podSandboxId });
        await runtime.removePodSandbox({ podSandboxId });
      }
    },
  };
}

/** containerd may write the last lines of a log after it has reported the container's end. */
async function readSettled(path: string): Promise<string> {
  for (let before: string | undefined; ; await delay(settleMs)) {
    const text = readFileSync(path, 'utf8');
    if (text === before) return text;
    before = text;
  }
}
