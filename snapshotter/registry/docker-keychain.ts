import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { dockerHubKey, isSameRegistry, matchAuths, parseSecretJson, readAuthKey, readAuths } from './auth-file.ts';
import { askCredentialHelper } from './credential-helper.ts';
import { RegistryError } from './error.ts';
import type { Credential, Keychain } from './keychain.ts';

export interface DockerKeychainOptions {
  /** For helpers (PATH, HOME) and for `$DOCKER_CONFIG`, where config.json lies, else ~/.docker; default process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Limit for a docker-credential-* program. */
  readonly helperLimitMs?: number;
}

const defaultHelperLimitMs = 10_000;

/** Docker's config.json: credHelpers, then credsStore, then auths. Read at each lookup, so a new login counts at once. */
export function dockerConfigKeychain(options: DockerKeychainOptions = {}): Keychain {
  const env = options.env ?? process.env;
  const path = join(env.DOCKER_CONFIG || join(env.HOME || homedir(), '.docker'), 'config.json');
  const limitMs = options.helperLimitMs ?? defaultHelperLimitMs;
  return {
    name: 'docker',
    async lookup(reference, host, signal) {
      const config = await readConfig(path, signal);
      if (config === undefined) return [];
      const found: Credential[] = [];
      const helper = chooseHelper(config, host);
      let failure: unknown;
      if (helper !== undefined) {
        const serverUrl = isSameRegistry(host, 'docker.io') ? dockerHubKey : host;
        try {
          const credential = await askCredentialHelper(helper, serverUrl, { env, limitMs, signal });
          if (credential !== undefined) found.push(credential);
        } catch (error) {
          signal.throwIfAborted();
          failure = error;
        }
      }
      const entries = matchAuths(readAuths(config.auths, path), host, reference.repository);
      found.push(...entries.map((entry) => entry.credential));
      // A failing helper matters only if nothing else has a credential.
      if (found.length === 0 && failure !== undefined) throw failure;
      return found;
    },
  };
}

async function readConfig(path: string, signal: AbortSignal): Promise<Record<string, unknown> | undefined> {
  let text: string;
  try {
    text = await readFile(path, { encoding: 'utf8', signal });
  } catch (error) {
    signal.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new RegistryError('keychain', String((error as NodeJS.ErrnoException).code), { operation: `read ${path}` });
  }
  return parseSecretJson(text, path);
}

/** The helper configured for this host, else the general store. */
function chooseHelper(config: Readonly<Record<string, unknown>>, host: string): string | undefined {
  const helpers = config.credHelpers;
  if (typeof helpers === 'object' && helpers !== null) {
    for (const [key, name] of Object.entries(helpers)) {
      if (typeof name === 'string' && name !== '' && isSameRegistry(readAuthKey(key).host, host)) return name;
    }
  }
  const store = config.credsStore;
  return typeof store === 'string' && store !== '' ? store : undefined;
}
