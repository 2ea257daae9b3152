import { decodeBasic, isSameRegistry, readAuthKey } from './auth-file.ts';
import type { Credential, Keychain } from './keychain.ts';
import { formatReference, parseReference, type Reference } from './reference.ts';

/** `runtime.v1.AuthConfig` of a CRI PullImage request; empty strings mean absent. */
export interface CriAuth {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface CriKeychain extends Keychain {
  /** Stores the credential that the kubelet sent with an image; without one, forgets the previous. */
  remember(image: string, auth: CriAuth | undefined): void;
  forget(image: string): void;
}

interface Remembered {
  /** The host the secret is for; the image's own registry where the kubelet named none. */
  readonly host: string;
  readonly credential: Credential;
}

const maxImages = 4096;

/** Credentials per image, in memory only; the least recently pulled image is forgotten first. */
export function criKeychain(): CriKeychain {
  const remembered = new Map<string, Remembered>();
  return {
    name: 'cri',
    remember(image, auth) {
      const reference = parseReference(image);
      const key = keyOf(reference);
      remembered.delete(key);
      const credential = auth === undefined ? undefined : readCriAuth(auth);
      if (credential === undefined) return;
      const address = auth?.serverAddress ?? '';
      // A secret without an address is for the image's registry, and not for a mirror of it.
      remembered.set(key, { host: address === '' ? reference.registry : readAuthKey(address).host, credential });
      const oldest = remembered.size > maxImages ? remembered.keys().next() : undefined;
      if (oldest?.done === false) remembered.delete(oldest.value);
    },
    forget(image) {
      remembered.delete(keyOf(parseReference(image)));
    },
    async lookup(reference, host) {
      const found = remembered.get(keyOf(reference));
      return found === undefined || !isSameRegistry(found.host, host) ? [] : [found.credential];
    },
  };
}

/** containerd's CRI plugin drops the tag of an image that has a digest too. */
function keyOf(reference: Reference): string {
  const { registry, repository, digest } = reference;
  return formatReference(digest === undefined ? reference : { registry, repository, digest });
}

/** In the order containerd reads them: user and password, identity token, `auth`; a bearer token last. */
function readCriAuth(auth: CriAuth): Credential | undefined {
  const { username = '', password = '', identityToken = '', registryToken = '' } = auth;
  if (username !== '') return { kind: 'basic', username, password };
  if (identityToken !== '') return { kind: 'identity-token', token: identityToken };
  const decoded = decodeBasic(auth.auth ?? '');
  if (decoded !== undefined) return decoded;
  return registryToken === '' ? undefined : { kind: 'registry-token', token: registryToken };
}
