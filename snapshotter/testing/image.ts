import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import type { RegistryClient } from '../registry/client.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { mediaTypes } from '../registry/manifest.ts';
import { parseReference } from '../registry/reference.ts';

const run = promisify(execFile);

export interface TestImage {
  readonly name: string;
  /** One function per layer: fills a directory. */
  readonly layers: readonly ((root: string) => Promise<void> | void)[];
  readonly command: readonly string[];
}

/** Pushes an ordinary gzip image, made of this machine's own files. */
export async function pushImage(client: RegistryClient, image: TestImage, signal: AbortSignal): Promise<void> {
  const reference = parseReference(image.name);
  const push = async (bytes: Buffer, mediaType: string) => {
    const digest = digestOf(bytes);
    await client.pushBlob(
      reference,
      {
        digest,
        sizeBytes: bytes.length,
        open: async function* () {
          yield bytes;
        },
      },
      signal,
    );
    return { mediaType, digest, size: bytes.length };
  };
  const diffIds: Digest[] = [];
  const layers: { mediaType: string; digest: Digest; size: number }[] = [];
  for (const fill of image.layers) {
    const tar = await packLayer(fill);
    diffIds.push(digestOf(tar));
    layers.push(await push(gzipSync(tar), mediaTypes.ociLayerGzip));
  }
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Cmd: image.command, Env: ['PATH=/usr/local/bin:/usr/bin:/bin'] },
    rootfs: { type: 'layers', diff_ids: diffIds },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: await push(Buffer.from(JSON.stringify(config)), mediaTypes.ociConfig),
    layers,
  };
  await client.pushManifest(reference, mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest)), signal);
}

async function packLayer(fill: (root: string) => Promise<void> | void): Promise<Buffer> {
  const scratch = mkdtempSync(join(tmpdir(), 'layer-'));
  try {
    const root = join(scratch, 'root');
    mkdirSync(root, { mode: 0o755 });
    await fill(root);
    await run('tar', ['--sort=name', '--numeric-owner', '-C', root, '-cf', join(scratch, 'layer.tar'), '.']);
    return readFileSync(join(scratch, 'layer.tar'));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Copies programs and the shared libraries that ldd names, at their own paths. */
export async function copyPrograms(root: string, programs: readonly string[]): Promise<void> {
  const files = new Set(programs);
  for (const program of programs) {
    const { stdout } = await run('ldd', [program]).catch(() => ({ stdout: '' }));
    for (const [, path] of stdout.matchAll(/(\/\S+) \(0x/g)) files.add(path!);
  }
  for (const file of files) {
    mkdirSync(join(root, dirname(file)), { recursive: true });
    copyFileSync(file, join(root, file));
  }
}
