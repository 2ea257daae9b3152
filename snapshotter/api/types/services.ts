// Generated from all of proto/ by generate.ts; do not edit.
import type { Containers as containers_Containers } from './containers.ts';
import type { Content as content_Content } from './content.ts';
import type { ImageService as cri_ImageService, RuntimeService as cri_RuntimeService } from './cri.ts';
import type { Diff as diff_Diff } from './diff.ts';
import type { Images as images_Images } from './images.ts';
import type { Introspection as introspection_Introspection } from './introspection.ts';
import type { Leases as leases_Leases } from './leases.ts';
import type { Namespaces as namespaces_Namespaces } from './namespaces.ts';
import type { Snapshots as snapshots_Snapshots } from './snapshots.ts';
import type { Tasks as tasks_Tasks } from './tasks.ts';
import type { Transfer as transfer_Transfer } from './transfer.ts';
import type { Version as version_Version } from './version.ts';

export interface Services {
  'containerd.services.containers.v1.Containers': containers_Containers;
  'containerd.services.content.v1.Content': content_Content;
  'runtime.v1.ImageService': cri_ImageService;
  'runtime.v1.RuntimeService': cri_RuntimeService;
  'containerd.services.diff.v1.Diff': diff_Diff;
  'containerd.services.images.v1.Images': images_Images;
  'containerd.services.introspection.v1.Introspection': introspection_Introspection;
  'containerd.services.leases.v1.Leases': leases_Leases;
  'containerd.services.namespaces.v1.Namespaces': namespaces_Namespaces;
  'containerd.services.snapshots.v1.Snapshots': snapshots_Snapshots;
  'containerd.services.tasks.v1.Tasks': tasks_Tasks;
  'containerd.services.transfer.v1.Transfer': transfer_Transfer;
  'containerd.services.version.v1.Version': version_Version;
}

/** Where each service is declared. */
export const serviceFiles: Readonly<Record<keyof Services, string>> = {
  'containerd.services.containers.v1.Containers': 'containers.proto',
  'containerd.services.content.v1.Content': 'content.proto',
  'runtime.v1.ImageService': 'cri.proto',
  'runtime.v1.RuntimeService': 'cri.proto',
  'containerd.services.diff.v1.Diff': 'diff.proto',
  'containerd.services.images.v1.Images': 'images.proto',
  'containerd.services.introspection.v1.Introspection': 'introspection.proto',
  'containerd.services.leases.v1.Leases': 'leases.proto',
  'containerd.services.namespaces.v1.Namespaces': 'namespaces.proto',
  'containerd.services.snapshots.v1.Snapshots': 'snapshots.proto',
  'containerd.services.tasks.v1.Tasks': 'tasks.proto',
  'containerd.services.transfer.v1.Transfer': 'transfer.proto',
  'containerd.services.version.v1.Version': 'version.proto',
};
