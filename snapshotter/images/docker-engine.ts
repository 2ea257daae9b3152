/** Images of a Docker Engine: saved to a temporary archive and read from it, or written to one and loaded. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type Docker from 'dockerode';
import { untilAborted } from '../platform/abort.ts';
import { openArchive } from './archive-source.ts';
import { archiveTarget } from './archive-target.ts';
import { ImageError } from './error.ts';
import type { ImageSource, ImageTarget } from './image.ts';

export interface EngineImage {
  /** A name or an image ID. */
  readonly image: string;
  /** For messages. */
  readonly name: string;
  /** The archive is kept below it. */
  readonly scratch: string;
  /** Default: what DOCKER_HOST says, else /var/run/docker.sock. */
  readonly socketPath?: string | undefined;
}

/** Throws ImageError `not-found` or `engine`. */
export async function engineSource(
  { image, name, scratch, socketPath }: EngineImage,
  signal: AbortSignal,
): Promise<ImageSource> {
  const engine = await connect(socketPath);
  const directory = await mkdtemp(join(scratch, 'docker-save-'));
  const release = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const path = join(directory, 'image.tar');
  try {
    await ask(name, signal, async () => {
      // Without this, an engine of before 25 answers 200 for an image that does not exist, and breaks off.
      await untilAborted(engine.getImage(image).inspect(), signal);
      await pipeline(await untilAborted(engine.getImage(image).get(), signal), createWriteStream(path), { signal });
    });
  } catch (error) {
    await release();
    throw error;
  }
  return await openArchive({ path, image: undefined, name, scratch, release, signal });
}

export async function engineTarget({ image, name, scratch, socketPath }: EngineImage): Promise<ImageTarget> {
  const directory = await mkdtemp(join(scratch, 'docker-load-'));
  const deliver = (path: string, signal: AbortSignal): Promise<void> =>
    ask(name, signal, async () => await load(await connect(socketPath), path, signal));
  const target = archiveTarget({ path: join(directory, 'image.tar'), image, name, deliver });
  const close = async (): Promise<void> => {
    await target.close();
    await rm(directory, { recursive: true, force: true });
  };
  return { ...target, close };
}

/** Loaded on use: it pulls in an SSH client. */
async function connect(socketPath: string | undefined): Promise<Docker> {
  const { default: Engine } = await import('dockerode');
  return socketPath === undefined ? new Engine() : new Engine({ socketPath });
}

const maxReplyBytes = 1 << 20;

/** The engine reports a failed load inside a reply with status 200. */
async function load(engine: Docker, path: string, signal: AbortSignal): Promise<void> {
  const reply = await engine.loadImage(createReadStream(path, { highWaterMark: 1 << 20 }), {
    quiet: true,
    abortSignal: signal,
  });
  let text = '';
  for await (const piece of reply as AsyncIterable<Buffer>) {
    if (text.length < maxReplyBytes) text += piece.toString();
  }
  const refusal = /"error"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(text)?.[1];
  if (refusal !== undefined) throw new Error(String(JSON.parse(refusal)));
}

async function ask(name: string, signal: AbortSignal, request: () => Promise<void>): Promise<void> {
  try {
    await request();
  } catch (error) {
    signal.throwIfAborted();
    throw explain(name, error as Error & { readonly statusCode?: number; readonly code?: string });
  }
}

function explain(name: string, error: Error & { readonly statusCode?: number; readonly code?: string }): Error {
  if (error.statusCode === 404) {
    return new ImageError('not-found', `the Docker Engine has no image ${name}; see docker image ls`, { cause: error });
  }
  const isAway = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
  if (isAway || error.code === 'EACCES') {
    const remedy = isAway ? 'start it, or set DOCKER_HOST' : 'run as a member of the group docker';
    return new ImageError('engine', `cannot reach the Docker Engine for ${name} (${error.code}); ${remedy}`, {
      cause: error,
    });
  }
  if (error.statusCode === undefined && error.code !== undefined) return error;
  return new ImageError('engine', `the Docker Engine refused ${name}: ${error.message}`, { cause: error });
}
