import type { IncomingMessage, ServerResponse } from 'node:http';
import { makeCertificate, type TestCertificate } from './certificate.ts';
import { type Answer, answerWith, classify, type SimulatedRequest, type Site } from './exchange.ts';
import type { Fault } from './fault.ts';
import { Journal, type SimulatorCounts } from './journal.ts';
import { type MemoryContent, memoryOrigin, type Origin, refuse } from './memory-origin.ts';
import { sendAnswer } from './send-answer.ts';
import { SignedUrls } from './signed-urls.ts';
import { type OpenSite, openSite, type Protocols, sites } from './sites.ts';
import { type SimulatedAuth, TokenService } from './token-service.ts';
import { upstreamOrigin } from './upstream-origin.ts';
import { Forecast, type Gust, type Weather } from './weather.ts';

/** Settings that can change while the simulator runs. */
export interface SimulatorBehaviour {
  /** Random faults of reads. */
  readonly weather: Weather;
  /** Applied in order to every response they affect. */
  readonly faults: readonly Fault[];
  /** Blob GETs are redirected to a signed URL on the CDN with this lifetime; undefined: not redirected. */
  readonly cdnLifetimeMs: number | undefined;
  /** The signed URL contains its expiry; otherwise only a 403 shows it. */
  readonly cdnTellsExpiry: boolean;
}

export interface SimulatorOptions extends Partial<SimulatorBehaviour> {
  /** A real registry at `host:port` (plain HTTP); default: `content` in memory. */
  readonly upstream?: string;
  readonly content?: MemoryContent;
  readonly tls?: boolean;
  readonly protocols?: Protocols;
  /** The API lies below this path: `/proxy`. */
  readonly path?: string;
  readonly auth?: SimulatedAuth;
  /** The token service has its own host. */
  readonly hasTokenHost?: boolean;
  readonly seed?: number;
}

export interface RegistrySimulator {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** `127.0.0.2:port` */
  readonly cdnHost: string;
  /** The host that issues tokens. */
  readonly tokenHost: string;
  /** With `tls`: the CA a client must trust. */
  readonly caPem: string | undefined;
  readonly counts: Readonly<SimulatorCounts>;
  readonly journal: Journal;
  readonly origin: Origin;
  /** Names of the faults that have changed a request or a response. */
  readonly effective: ReadonlySet<string>;
  /** Tokens issued so far. */
  issuedTokens(): number;
  revokeTokens(): void;
  /** Changes the behaviour for subsequent requests. */
  behave(change: Partial<SimulatorBehaviour>): void;
  close(): Promise<void>;
}

/** A registry whose every response can be modified, repeatably. */
export async function startRegistrySimulator(options: SimulatorOptions): Promise<RegistrySimulator> {
  const simulator = new Simulator(options, options.tls === true ? makeCertificate() : undefined);
  await simulator.listen();
  return simulator;
}

class Simulator implements RegistrySimulator {
  readonly caPem: string | undefined;
  readonly journal = new Journal();
  readonly origin: Origin;
  readonly effective = new Set<string>();
  readonly #options: SimulatorOptions;
  readonly #certificate: TestCertificate | undefined;
  readonly #scheme: string;
  readonly #open = new Map<Site, OpenSite>();
  readonly #tokens: TokenService | undefined;
  /** The third party's, without users. */
  readonly #strangeTokens = new TokenService({ kind: 'token', anonymousPull: true, lifetimeMs: 60_000 });
  readonly #urls = new SignedUrls();
  readonly #forecast: Forecast;
  readonly #uses = new Map<string, number>();
  #behaviour: SimulatorBehaviour;

  constructor(options: SimulatorOptions, certificate: TestCertificate | undefined) {
    const { upstream, content, auth, seed } = options;
    this.#options = options;
    this.#certificate = certificate;
    this.#scheme = certificate === undefined ? 'http' : 'https';
    this.caPem = certificate?.certPem;
    this.origin = upstream === undefined ? memoryOrigin(content) : upstreamOrigin(upstream);
    this.#tokens = auth === undefined ? undefined : new TokenService(auth);
    this.#forecast = new Forecast(seed ?? 1);
    this.#behaviour = {
      weather: options.weather ?? {},
      faults: options.faults ?? [],
      cdnLifetimeMs: options.cdnLifetimeMs,
      cdnTellsExpiry: options.cdnTellsExpiry ?? true,
    };
  }

  get host(): string {
    return this.#open.get('registry')!.host;
  }

  get cdnHost(): string {
    return this.#open.get('cdn')!.host;
  }

  get tokenHost(): string {
    return this.#options.hasTokenHost === true ? this.#open.get('token')!.host : this.host;
  }

  get counts(): Readonly<SimulatorCounts> {
    return this.journal.counts;
  }

  issuedTokens(): number {
    return this.#tokens?.issued ?? 0;
  }

  revokeTokens(): void {
    this.#tokens?.revokeAll();
  }

  behave(change: Partial<SimulatorBehaviour>): void {
    this.#behaviour = { ...this.#behaviour, ...change };
  }

  async listen(): Promise<void> {
    const { protocols = 'http1' } = this.#options;
    const onConnection = (): void => void this.journal.counts.connections++;
    for (const site of sites) {
      const open = await openSite(
        site,
        this.#certificate,
        protocols,
        (request, response) => this.#onRequest(site, request, response),
        onConnection,
      );
      this.#open.set(site, open);
    }
  }

  async close(): Promise<void> {
    this.origin.close();
    await Promise.all([...this.#open.values()].map((site) => site.close()));
  }

  #onRequest(site: Site, request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => {});
    request.on('error', () => {});
    this.#answer(site, request, response).catch(() => response.destroy());
  }

  async #answer(site: Site, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = this.#read(site, incoming);
    this.journal.note(request);
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const refused = await this.#refuse(request);
    const isFaulty = isRead && request.kind !== 'token' && refused === undefined;
    const gust = isFaulty ? this.#forecast.next(`${site} ${retryKey(request)}`, this.#behaviour.weather) : undefined;
    const faults = this.#behaviour.faults.filter((fault) => this.#isOn(fault, request));
    const breaking = faults.find(({ breaks }) => breaks !== undefined);
    if (breaking !== undefined) this.#use(breaking);
    const broken = gust === 'reset' ? gust : breaking?.breaks;
    if (broken === 'reset') this.journal.counts.resets++;
    if (broken === 'reset') return void incoming.socket.resetAndDestroy();
    if (broken === 'hang') return;

    const honest = refused ?? this.#blown(gust) ?? (await this.#honest(this.#ask(request, faults)));
    try {
      await sendAnswer(incoming, response, await this.#bend(honest, request, faults, gust));
    } finally {
      honest.release?.();
    }
  }

  async #bend(honest: Answer, request: SimulatedRequest, faults: readonly Fault[], gust: Gust | undefined) {
    let answer = honest;
    const elsewhere = (path: string): URL => new URL(path, `${this.#scheme}://${this.#open.get('elsewhere')!.host}`);
    for (const fault of faults) {
      const bent = (await fault.bend?.(answer, { request, elsewhere })) ?? answer;
      if (bent !== answer) this.#use(fault);
      answer = bent;
    }
    if (gust === 'cut' && answer.status < 300 && answer.body !== undefined) answer = this.#cut(answer);
    if (request.method !== 'HEAD') return answer;
    const { body: _unsent, ...head } = answer;
    return head;
  }

  #read(site: Site, incoming: IncomingMessage): SimulatedRequest {
    const url = new URL(incoming.url ?? '/', `${this.#scheme}://${this.#open.get(site)!.host}`);
    const { path = '' } = this.#options;
    if (site === 'registry' && path !== '' && url.pathname !== '/token') {
      // Nothing is served outside the path.
      url.pathname = url.pathname.startsWith(`${path}/`) ? url.pathname.slice(path.length) : '/nowhere';
    }
    const { method = 'GET', headers } = incoming;
    return { site, method, url, headers, body: incoming, ...classify(site, method, url) };
  }

  /** Refuses expired signatures and unauthorized requests. */
  async #refuse(request: SimulatedRequest): Promise<Answer | undefined> {
    const { site, url } = request;
    if (site === 'cdn' && !this.#urls.isValid(url)) {
      this.journal.counts.cdnRefused++;
      return answerWith(403, '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>');
    }
    if (site !== 'registry' || request.kind === 'token') return undefined;
    const refusal = this.#tokens?.refusal(request, `${this.#scheme}://${this.tokenHost}/token`);
    if (refusal !== undefined) this.journal.counts.unauthorized++;
    return refusal;
  }

  /** Whether a fault may affect this request. */
  #isOn({ name, on, times }: Fault, request: SimulatedRequest): boolean {
    return on.includes(request.kind) && (this.#uses.get(name) ?? 0) < (times ?? Number.POSITIVE_INFINITY);
  }

  #use({ name }: Fault): void {
    this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
    this.effective.add(name);
  }

  async #honest(request: SimulatedRequest): Promise<Answer> {
    if (request.kind === 'token') {
      const service = request.site === 'elsewhere' ? this.#strangeTokens : this.#tokens;
      if (service === undefined) return answerWith(404);
      return await service.answer(request, (body) => this.journal.noteBody(request.site, body));
    }
    const { cdnLifetimeMs, cdnTellsExpiry } = this.#behaviour;
    if (request.site === 'registry' && request.kind === 'blob' && cdnLifetimeMs !== undefined) {
      const onCdn = new URL(request.url.pathname, `${this.#scheme}://${this.cdnHost}`);
      return answerWith(307, '', { location: this.#urls.sign(onCdn, cdnLifetimeMs, cdnTellsExpiry).href });
    }
    return await this.origin.answer(request);
  }

  #ask(request: SimulatedRequest, faults: readonly Fault[]): SimulatedRequest {
    let asked = request;
    for (const fault of faults) {
      const changed = fault.asks?.(asked) ?? asked;
      if (changed !== asked) this.#use(fault);
      asked = changed;
    }
    return asked;
  }

  #blown(gust: Gust | undefined): Answer | undefined {
    const { counts } = this.journal;
    if (gust === 'tooManyRequests') {
      counts.tooManyRequests++;
      return answerWith(429, '', { 'retry-after': String(this.#behaviour.weather.retryAfterSec ?? 0) });
    }
    if (gust !== 'serverError') return undefined;
    counts.serverErrors++;
    return refuse(503, 'UNAVAILABLE');
  }

  #cut(answer: Answer): Answer {
    this.journal.counts.cuts++;
    return { ...answer, cutAfterBytes: this.#forecast.share() * Number(answer.headers['content-length'] ?? 0) };
  }
}

/** Retries and resumptions of a request have the same end. */
function retryKey({ method, url, headers }: SimulatedRequest): string {
  return `${method} ${url.pathname} ${headers.range?.split('-')[1]}`;
}
