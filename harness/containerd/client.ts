import { openClient, type ServiceClient } from '../../snapshotter/api/client.ts';
import type { Services } from '../../snapshotter/api/types/services.ts';

/** Where the CRI plugin keeps its images, so where everything of a cell lives. */
const namespace = 'k8s.io';

type ClientOf<Name extends keyof Services> = ServiceClient<Services[Name]>;

/** containerd's services that a cell uses. */
export interface ContainerdClient {
  readonly version: ClientOf<'containerd.services.version.v1.Version'>;
  readonly cri: ClientOf<'runtime.v1.ImageService'>;
  readonly images: ClientOf<'containerd.services.images.v1.Images'>;
  readonly content: ClientOf<'containerd.services.content.v1.Content'>;
  readonly snapshots: ClientOf<'containerd.services.snapshots.v1.Snapshots'>;
  readonly containers: ClientOf<'containerd.services.containers.v1.Containers'>;
  readonly tasks: ClientOf<'containerd.services.tasks.v1.Tasks'>;
  readonly diff: ClientOf<'containerd.services.diff.v1.Diff'>;
  close(): void;
}

export function openContainerdClient(socket: string): ContainerdClient {
  const open = <Name extends keyof Services>(name: Name) => openClient(name, socket, { namespace });
  const services = {
    version: open('containerd.services.version.v1.Version'),
    cri: open('runtime.v1.ImageService'),
    images: open('containerd.services.images.v1.Images'),
    content: open('containerd.services.content.v1.Content'),
    snapshots: open('containerd.services.snapshots.v1.Snapshots'),
    containers: open('containerd.services.containers.v1.Containers'),
    tasks: open('containerd.services.tasks.v1.Tasks'),
    diff: open('containerd.services.diff.v1.Diff'),
  };
  return {
    ...services,
    close: () => {
      for (const service of Object.values(services)) service.close();
    },
  };
}
