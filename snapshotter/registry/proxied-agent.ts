import type { buildConnector, Dispatcher } from 'undici';
import connect from 'undici/lib/api/api-connect.js';
import Pool from 'undici/lib/dispatcher/pool.js';
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js';
import type { Trust } from './host.ts';
import type { OpenSockets } from './open-sockets.ts';
import type { ProxyServer } from './proxy.ts';
import { tlsOptions } from './tls-options.ts';

/** Limit for a proxy to open the tunnel to the server. */
const tunnelLimitMs = 30_000;

/**
 * Connections through a proxy: https through a tunnel (CONNECT), http as requests to the proxy. `trust` applies to the
 * registry only; the proxy's own certificate is always verified.
 */
export function makeProxiedAgent(
  proxy: ProxyServer,
  trust: Trust,
  isTls: boolean,
  limits: { readonly perHost: number; readonly idleMs: number; readonly connectMs: number },
  sockets: OpenSockets,
): Dispatcher {
  const noted = (options: object): object => {
    const { connect } = options as { readonly connect: buildConnector.connector };
    return { ...options, connect: sockets.note(connect) };
  };
  return new ProxyAgent({
    uri: proxy.url.href,
    ...(proxy.authorization === undefined ? {} : { token: proxy.authorization }),
    allowH2: false,
    connectTimeout: limits.connectMs,
    ...(isTls ? { requestTls: tlsOptions(trust) } : {}),
    ...(proxy.url.protocol === 'https:' ? { proxyTls: tlsOptions('verified') } : {}),
    factory: (origin, options) =>
      new Pool(origin, { ...noted(options), connections: limits.perHost, keepAliveTimeout: limits.idleMs }),
    // `connect` is a method of every dispatcher only where the package's entry has been loaded (see connections.ts).
    clientFactory: (origin, options) =>
      Object.assign(new Pool(origin, { ...noted(options), headersTimeout: tunnelLimitMs }), { connect }),
  });
}

/** The status of a proxy's own refusal, which undici reports only in the message, with a different text per kind of request. */
export function proxyRefusal(error: Error): number | undefined {
  const status = /^Proxy (?:response \((\d{3})\) !== 200|Authentication Required \((407)\))/.exec(error.message);
  return status === null ? undefined : Number(status[1] ?? status[2]);
}
