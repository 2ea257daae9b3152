import type { ErofsServerOptions } from '../erofs/server.ts';
import type { FuseOptions } from '../fuse/server.ts';
import type { Log } from '../platform/log.ts';
import { firstChunkFrom } from '../store/presence.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { pathOf } from '../tree/lookup.ts';

/** A line per FUSE request, and one per late answer; undefined where nothing is traced. */
export function traceFuse({ trace }: Log): FuseOptions['onTrace'] {
  return (
    trace &&
    ((event, layer) => {
      const { inode, ...fields } = event;
      const path = layer === undefined ? undefined : pathInLayer(layer.table, inode);
      const message = 'operation' in event ? 'FUSE request' : 'FUSE read answered';
      trace({ layer: layer?.digest, path, ...rounded(fields) }, message);
    })
  );
}

/** A line per fanotify event, and one per late answer; undefined where nothing is traced. */
export function traceErofs({ trace }: Log): ErofsServerOptions['onTrace'] {
  return (
    trace &&
    ((event, layer) => {
      const path = layer === undefined ? undefined : pathAt(layer.table, event.offset);
      trace(
        { layer: layer?.digest, path, ...rounded(event) },
        'outcome' in event ? 'fanotify event' : 'fanotify event answered',
      );
    })
  );
}

interface KnownLayer {
  readonly digest?: string;
  readonly table: InodeTable;
}

/** Layer and path of a read that was missed, for a log. */
export function placeOfMiss(layer: KnownLayer | undefined, dataOffset: number) {
  return { layer: layer?.digest, path: layer && pathAt(layer.table, dataOffset) };
}

function rounded(fields: object): object {
  return 'waitedMs' in fields ? { ...fields, waitedMs: Math.round((fields.waitedMs as number) * 10) / 10 } : fields;
}

/** The file whose content lies at that offset of the data file. */
function pathAt(table: InodeTable, dataOffset: number): string | undefined {
  const chunk = firstChunkFrom(table, dataOffset);
  return chunk < table.chunkCount ? pathInLayer(table, table.chunkInode[chunk]!) : undefined;
}

/** The kernel may name an inode that no table has. */
function pathInLayer(table: InodeTable, inode: number): string | undefined {
  return inode >= 1 && inode <= table.inodeCount ? `/${pathOf(table, inode)}` : undefined;
}
