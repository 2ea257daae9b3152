/**
 * Mounts an EROFS image where /sys/fs is empty, and prints what mountImage said and whether a mount was left, as JSON.
 * Run it in a mount namespace of its own:
 *
 *     unshare --mount node mount-without-sysfs.ts IMAGE PATH
 */
import { MS_NOSUID, mountFilesystem } from '../../platform/syscalls.ts';
import { listErofsMounts, mountImage } from '../mount.ts';

const [imagePath, path] = process.argv.slice(2) as [string, string];
await mountFilesystem('none', '/sys/fs', 'tmpfs', MS_NOSUID, '');
const said = await mountImage({ imagePath, path, device: undefined, readaheadKib: 128, isDirect: false }).then(
  () => 'mounted',
  (error: Error) => error.message,
);
process.stdout.write(JSON.stringify({ said, left: listErofsMounts().includes(path) }));
