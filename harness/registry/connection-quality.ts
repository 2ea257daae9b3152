import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { median, sortSamples } from '../../measurements/stats/median.ts';
import type { Descriptor } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import type { RegistryAccess } from './access.ts';
import { readLayers } from './manifest-layers.ts';

/** The way to a registry as a single connection finds it. */
export interface ConnectionQuality {
  /** Median time of a TCP handshake with its server. */
  readonly roundTripMs: number | undefined;
  /** From the first byte of a layer on, one connection; undefined where the layers are too small to tell. */
  readonly bandwidthMbps: number | undefined;
  /** What was downloaded for it. */
  readonly measuredBytes: number;
}

const handshakes = 5;
const handshakeLimitMs = 5_000;
/** Enough to leave slow start behind on most links, and a few seconds on slow ones. */
const maxBytes = 32 * 2 ** 20;
const maxDurationMs = 4_000;
/** What arrives in one window says nothing. */
const minBytes = 2 ** 20;

/** Manifests that `measureConnection` pulls: of the image, and its index if it has one. */
export const manifestsMeasured = 2;

/** Downloads a part of the image's largest layer. Throws RegistryError. */
export async function measureConnection(
  access: RegistryAccess,
  image: string,
  signal: AbortSignal,
): Promise<ConnectionQuality> {
  const roundTripMs = await measureRoundTrip(access.endpointOf(image), signal);
  const layers = await readLayers(access.client, image, signal);
  const layer = layers?.toSorted((one, other) => other.size - one.size)[0];
  return { roundTripMs, ...(await measureBandwidth(access, image, layer, signal)) };
}

/** Undefined where it cannot be reached directly, as behind a proxy. */
async function measureRoundTrip(
  { authority, schemes }: { readonly authority: string; readonly schemes: readonly string[] },
  signal: AbortSignal,
): Promise<number | undefined> {
  const { hostname, port } = new URL(`${schemes[0]}://${authority}`);
  const target = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (schemes[0] === 'https' ? 443 : 80) };
  const times: number[] = [];
  for (let count = 0; count < handshakes; count++) {
    signal.throwIfAborted();
    const start = performance.now();
    const socket = connect(target);
    try {
      await once(socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(handshakeLimitMs)]) });
      // The first one also waits for the name to be resolved.
      if (count > 0) times.push(performance.now() - start);
    } catch {
      signal.throwIfAborted();
      return undefined;
    } finally {
      socket.destroy();
    }
    await delay(20, undefined, { signal });
  }
  return median(sortSamples(times)!);
}

async function measureBandwidth(
  { client }: RegistryAccess,
  image: string,
  layer: Descriptor | undefined,
  signal: AbortSignal,
): Promise<Pick<ConnectionQuality, 'bandwidthMbps' | 'measuredBytes'>> {
  if (layer === undefined || layer.size < minBytes) return { bandwidthMbps: undefined, measuredBytes: 0 };
  const blob = client.blob(parseReference(image), layer.digest, layer.urls);
  let measuredBytes = 0;
  let firstBytes = 0;
  let firstMs = 0;
  let lastMs = 0;
  for await (const piece of blob.fetchRange(0, Math.min(layer.size, maxBytes), signal)) {
    lastMs = performance.now();
    if (measuredBytes === 0) {
      firstMs = lastMs;
      firstBytes = piece.length;
    }
    measuredBytes += piece.length;
    if (lastMs - firstMs > maxDurationMs) break;
  }
  const durationMs = lastMs - firstMs;
  const bits = (measuredBytes - firstBytes) * 8;
  return { bandwidthMbps: durationMs > 0 ? bits / 1000 / durationMs : undefined, measuredBytes };
}
