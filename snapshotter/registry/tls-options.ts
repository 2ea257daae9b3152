import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { Trust } from './host.ts';

/** Made once for all connections: reading some 150 certificates takes milliseconds. The system's own count, as in Go. */
export function tlsOptions(trust: Trust): { rejectUnauthorized: false } | { secureContext: SecureContext } {
  if (trust === 'unverified') return { rejectUnauthorized: false };
  const extra = trust === 'verified' ? [] : [trust.caPem];
  const ca = [...getCACertificates('default'), ...getCACertificates('system'), ...extra];
  return { secureContext: createSecureContext({ ca }) };
}
