import { join } from 'node:path';
import type { Config } from './config.ts';
import { FuseServer } from './fuse/server.ts';
import type { Face } from './layers/face.ts';
import { createFuseFace } from './layers/fuse-face.ts';
import type { Log } from './log.ts';
import { oneLine } from './service/status.ts';

/** The face that the configuration asks for, or the best that this machine has; the reason is logged. */
export async function openFace(root: string, config: Config, log: Log): Promise<Face> {
  if (config.mount.backend === 'erofs') {
    throw new Error('mount.backend = "erofs": this daemon has no EROFS backend; set "auto" or "fuse"');
  }
  const server = await FuseServer.mount(join(root, 'mnt'), {
    missLimitMs: config.blob.fetching_timeout_sec * 1000,
    onError: (error, miss) => log.error({ error: oneLine(error), ...miss }, 'read failed'),
    onDisconnect: () => log.error({ mountpoint: join(root, 'mnt') }, 'the FUSE connection was ended from outside'),
  });
  log.info({ face: 'fuse', backend: config.mount.backend }, 'layers are shown through FUSE');
  return createFuseFace(server);
}
