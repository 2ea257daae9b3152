import type { Reference } from './reference.ts';

export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, exchanged at the token service. */
  | { readonly kind: 'identity-token'; readonly token: string }
  /** A ready bearer token, sent to the registry as it is. */
  | { readonly kind: 'registry-token'; readonly token: string };

export interface Keychain {
  readonly name: string;
  /**
   * Credentials for an image on a host, best first; empty if there are none. `host` is the registry's name in references
   * (`docker.io`), or a mirror's host; a keychain must not return a registry's secret for another host.
   */
  lookup(reference: Reference, host: string, signal: AbortSignal): Promise<readonly Credential[]>;
}

export interface KeychainFailure {
  readonly keychain: string;
  readonly host: string;
  readonly error: unknown;
}

/** Asks every keychain in order; a failing one is reported and skipped. */
export function keychainChain(
  keychains: readonly Keychain[],
  onFailure: (failure: KeychainFailure) => void = () => {},
): Keychain {
  return {
    name: keychains.map((keychain) => keychain.name).join(', '),
    async lookup(reference, host, signal) {
      const found: Credential[] = [];
      for (const keychain of keychains) {
        signal.throwIfAborted();
        try {
          found.push(...(await keychain.lookup(reference, host, signal)));
        } catch (error) {
          signal.throwIfAborted();
          onFailure({ keychain: keychain.name, host, error });
        }
      }
      return found;
    },
  };
}
