import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { Trust } from './host.ts';

export type TlsOptions =
  | { readonly rejectUnauthorized: false; readonly secureContext?: SecureContext }
  | { readonly secureContext: SecureContext };

/** Made once for all connections: reading some 150 certificates takes milliseconds. The system's own CAs count, as in Go. */
export function tlsOptions(trust: Trust): TlsOptions {
  if (trust === 'unverified') return { rejectUnauthorized: false };
  const { caPem, skipVerify, clientCertificates = [] } = trust === 'verified' ? {} : trust;
  const own =
    clientCertificates.length === 0
      ? {}
      : {
          cert: clientCertificates.map(({ certPem }) => certPem),
          key: clientCertificates.map(({ keyPem }) => keyPem),
        };
  if (skipVerify === true) return { rejectUnauthorized: false, secureContext: createSecureContext(own) };
  const extra = caPem === undefined ? [] : [caPem];
  const ca = [...getCACertificates('default'), ...getCACertificates('system'), ...extra];
  return { secureContext: createSecureContext({ ...own, ca }) };
}

/** Equal for equal trust: connections are shared by it. */
export function trustKey(trust: Trust): string {
  return typeof trust === 'string' ? trust : JSON.stringify(trust);
}
