import type { buildConnector, Dispatcher } from 'undici';
import connect from 'undici/lib/api/api-connect.js';
import Pool from 'undici/lib/dispatcher/pool.js';
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js';
import type { Trust } from './host.ts';
import type { OpenSockets } from './open-sockets.ts';
import type { ProxyServer } from './proxy.ts';
import { tlsOptions } from './tls-options.ts';

/** How long a proxy may take to reach the server that a tunnel is to end at. */
const longestTunnelMs = 30_000;

/**
 * Connections by way of a proxy: https through a tunnel (CONNECT), http as requests to the proxy. The registry's trust is
 * the registry's alone: the proxy's own certificate is always verified.
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
      Object.assign(new Pool(origin, { ...noted(options), headersTimeout: longestTunnelMs }), { connect }),
  });
}

/** The status a proxy itself refused with: undici has it in the message only, and worded by kind of request. */
export function proxyRefusal(error: Error): number | undefined {
  const status = /^Proxy (?:response \((\d{3})\) !== 200|Authentication Required \((407)\))/.exec(error.message);
  return status === null ? undefined : Number(status[1] ?? status[2]);
}
