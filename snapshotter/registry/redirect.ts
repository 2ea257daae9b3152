import type { HttpResponse } from './connections.ts';
import { RegistryError } from './error.ts';
import { headerText } from './transport.ts';

const maxRedirects = 5;

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** Follows the redirects of `first`, calling `send` for each; throws RegistryError `protocol` after five. */
export async function followRedirects(
  first: HttpResponse,
  operation: string,
  send: (url: URL, from: HttpResponse) => Promise<HttpResponse>,
): Promise<HttpResponse> {
  let response = first;
  for (let hops = 0; isRedirect(response.status); hops++) {
    const url = locationOf(response, operation);
    await response.body.drain();
    if (hops === maxRedirects) {
      throw new RegistryError('protocol', `more than ${maxRedirects} redirects`, { operation, host: first.url.host });
    }
    response = await send(url, response);
  }
  return response;
}

/** Where a response points to, as an absolute URL without userinfo. */
export function locationOf(response: HttpResponse, operation: string): URL {
  const location = headerText(response.headers, 'location');
  const url =
    location === undefined || !URL.canParse(location, response.url.href) ? undefined : new URL(location, response.url);
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const fields = { operation, host: response.url.host, status: response.status };
    throw new RegistryError('protocol', `HTTP ${response.status} without a usable Location`, fields);
  }
  url.username = '';
  url.password = '';
  return url;
}

/**
 * Whether credentials for `from` may be sent to `to`: the same origin, or an upgrade from plain HTTP to TLS of the same host
 * on the default ports. Never a downgrade.
 */
export function isSameParty(from: URL, to: URL): boolean {
  if (from.protocol === to.protocol) return from.host === to.host;
  const isUpgrade = from.protocol === 'http:' && to.protocol === 'https:';
  return isUpgrade && from.hostname === to.hostname && from.port === '' && to.port === '';
}
