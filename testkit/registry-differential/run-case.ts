import { ConvertError } from '../../snapshotter/convert/error.ts';
import { FormatError } from '../../snapshotter/estargz/error.ts';
import { LayerError } from '../../snapshotter/layers/error.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { RegistryError } from '../../snapshotter/registry/error.ts';
import type { Keychain } from '../../snapshotter/registry/keychain.ts';
import { StoreError } from '../../snapshotter/store/error.ts';
import { privateHeader } from '../registry-simulator/journal.ts';
import { type RegistrySimulator, startRegistrySimulator } from '../registry-simulator/simulator.ts';
import { type Case, mustSucceed, nameOf } from './cases.ts';
import type { Fixture } from './fixture.ts';
import { DamageFound, perform, WrongResult } from './subjects.ts';

export interface Verdict {
  readonly name: string;
  readonly outcome: 'right' | 'refused';
  /** The error's message; undefined on success. */
  readonly message: string | undefined;
  readonly requests: number;
  readonly durationMs: number;
  /** The oracle's objections; empty if all is well. */
  readonly complaints: readonly string[];
}

/** Short limits, so that a registry that hangs is given up within seconds. */
const requestTimeoutMs = 400;
const retry = { maxRetries: 4, minWaitMs: 1, maxWaitMs: 5 };
/** Above the time of all retries of all calls, where each of them runs into the time limits above. */
const caseLimitMs = 120_000;
const maxRequests: Readonly<Record<Case['subject'], number>> = { client: 250, layer: 150, converter: 250 };

const user = 'alice';
const password = 'correct-horse-battery';
const basic = Buffer.from(`${user}:${password}`).toString('base64');
const headerSecret = 'header-for-the-registry';

/**
 * Runs one case. The oracle: the right bytes or a clear error, right bytes where nothing stands in the way, within the
 * limit; a bounded number of requests; no secret to a host that it is not for, nor in a message.
 */
export async function runCase(fixture: Fixture, one: Case, signal: AbortSignal): Promise<Verdict> {
  const { layout, first, second, subject } = one;
  const inRegistry = layout === 'alone' ? [first, second] : [second];
  const content = subject === 'converter' ? fixture.plainContent : fixture.content;
  const registry = await startRegistrySimulator({
    content,
    faults: inRegistry.filter((fault) => fault !== undefined),
    auth: { kind: 'token', users: { [user]: password }, lifetimeMs: 60_000 },
    hasTokenHost: true,
    ...(hasCdn(one) ? { cdnLifetimeMs: 60_000 } : {}),
  });
  const mirror = layout === 'mirrored' ? await startRegistrySimulator({ content, faults: [first] }) : undefined;
  const client = openClient(registry, mirror);
  const limit = AbortSignal.timeout(caseLimitMs);
  const startedMs = performance.now();
  let error: unknown;
  try {
    await perform[subject]({ client, registry, fixture, signal: AbortSignal.any([signal, limit]) });
  } catch (caught) {
    signal.throwIfAborted();
    error = caught ?? new Error('rejected with nothing');
  } finally {
    await client.close();
    await Promise.all([registry.close(), mirror?.close()]);
  }
  const requests = registry.counts.requests + (mirror?.counts.requests ?? 0);
  return {
    name: nameOf(one),
    outcome: error === undefined ? 'right' : 'refused',
    message: error === undefined ? undefined : String((error as Error).message ?? error),
    requests,
    durationMs: performance.now() - startedMs,
    complaints: [
      ...complaintsAbout(error, mustSucceed(one), limit.aborted),
      ...(requests > maxRequests[subject] ? [`${requests} requests`] : []),
      ...leaksOf(registry, mirror, error),
      ...(isMissed(one, mirror ?? registry) ? ['the fault had no effect'] : []),
    ],
  };
}

/**
 * A fault that does nothing proves nothing. In a pair, one may keep the other from having an effect; and the converter sends
 * range requests only after a body was cut.
 */
function isMissed({ subject, first, second }: Case, { effective }: RegistrySimulator): boolean {
  const isUnneeded = first.avoidable === true || (subject === 'converter' && /^(range|suffix)-/.test(first.name));
  return second === undefined && !isUnneeded && !effective.has(first.name);
}

function openClient(registry: RegistrySimulator, mirror: RegistrySimulator | undefined): RegistryClient {
  const keychain: Keychain = {
    name: 'trial',
    lookup: async (_reference, host) => (host === registry.host ? [{ kind: 'basic', username: user, password }] : []),
  };
  const mirrors = mirror === undefined ? [] : [{ host: mirror.host }];
  return new RegistryClient({
    keychains: [keychain],
    hosts: { [registry.host]: { headers: { [privateHeader]: headerSecret }, mirrors } },
    requestTimeoutMs,
    retry,
  });
}

/** About half of the cases redirect blobs to the CDN. */
function hasCdn(one: Case): boolean {
  return nameOf(one).length % 2 === 0;
}

function complaintsAbout(error: unknown, isSuccessDue: boolean, isLate: boolean): string[] {
  if (error === undefined) return [];
  if (error instanceof WrongResult) return [`wrong: ${error.message}`];
  if (isLate) return [`nothing within ${caseLimitMs / 1000} s`];
  const isClear = [RegistryError, LayerError, StoreError, ConvertError, FormatError, DamageFound].some(
    (kind) => error instanceof kind,
  );
  const unclear = isClear ? [] : [`not a clear error: ${String((error as Error).stack ?? error)}`];
  const due = isSuccessDue ? [`refused: ${(error as Error).message}`] : [];
  return [...unclear, ...due];
}

function leaksOf(registry: RegistrySimulator, mirror: RegistrySimulator | undefined, error: unknown): string[] {
  const leaks: string[] = [];
  const allow = (what: string, secret: string, ...sites: readonly string[]): void => {
    const wrong = registry.journal.sitesTold(secret).filter((site) => !sites.includes(site));
    if (wrong.length > 0) leaks.push(`${what} was sent to ${wrong.join(', ')}`);
    if ((mirror?.journal.sitesTold(secret) ?? []).length > 0) leaks.push(`${what} was sent to the mirror`);
    const shown = `${String(error)} ${(error as Error | undefined)?.stack} ${JSON.stringify(error)}`;
    if (shown.includes(secret)) leaks.push(`${what} is in the error`);
  };
  allow('the password', basic, 'token');
  allow('the password', password, 'token');
  allow('the private header', headerSecret, 'registry');
  if (registry.counts.leaks > 0) leaks.push('an Authorization was sent to a host it is not for');
  return leaks;
}
