import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';
import { openClient } from '../../../snapshotter/api/client.ts';
import type { ImageStore, OCIRegistry } from '../../../snapshotter/api/types/transfer-types.ts';
import type { Any, Partially } from '../../../snapshotter/api/well-known.ts';
import { protoDir, wireOptions } from '../../../snapshotter/api/wire.ts';
import { hostPlatform } from '../../../snapshotter/registry/manifest.ts';

export interface TransferPull {
  /** containerd's socket. */
  readonly address: string;
  readonly namespace: string;
  readonly reference: string;
  readonly snapshotter: string;
}

/** Pulls and unpacks an image with containerd's transfer service (2.x), as `nerdctl pull` and `ctr image pull` do. */
export async function pullByTransfer(pull: TransferPull, signal: AbortSignal): Promise<void> {
  const { address, namespace, reference, snapshotter } = pull;
  const { os, architecture } = hostPlatform();
  const source: Partially<OCIRegistry> = { reference, resolver: { defaultScheme: 'http' } };
  const destination: Partially<ImageStore> = {
    name: reference,
    unpacks: [{ platform: { os, architecture }, snapshotter }],
  };
  const client = openClient('containerd.services.transfer.v1.Transfer', address, { namespace });
  try {
    await client.transfer(
      { source: pack('OCIRegistry', source), destination: pack('ImageStore', destination) },
      { signal },
    );
  } finally {
    client.close();
  }
}

const packageName = 'containerd.types.transfer';

function pack(name: 'OCIRegistry' | 'ImageStore', message: object): Any {
  const definitions = loadSync('transfer-types.proto', { ...wireOptions, includeDirs: [protoDir] });
  const type = definitions[`${packageName}.${name}`] as MessageTypeDefinition<object, object>;
  return { type_url: `${packageName}.${name}`, value: type.serialize(message) };
}
