import { createHmac, randomBytes } from 'node:crypto';

/** Signs URLs that expire, as object stores do. */
export class SignedUrls {
  readonly #key = randomBytes(16);

  /** `tellsExpiry`: in a parameter that clients know; otherwise only a 403 shows it. */
  sign(url: URL, lifetimeMs: number, tellsExpiry: boolean): URL {
    const expires = String((Date.now() + lifetimeMs) / 1000);
    const signed = new URL(url);
    signed.searchParams.set(tellsExpiry ? 'Expires' : 'until', expires);
    signed.searchParams.set('Signature', this.#signature(url.pathname, expires));
    return signed;
  }

  isValid(url: URL): boolean {
    const expires = url.searchParams.get('Expires') ?? url.searchParams.get('until') ?? '';
    const isSigned = url.searchParams.get('Signature') === this.#signature(url.pathname, expires);
    return isSigned && Number(expires) * 1000 > Date.now();
  }

  #signature(path: string, expires: string): string {
    return createHmac('sha256', this.#key).update(`${path} ${expires}`).digest('base64url');
  }
}
