import { answerWith } from './exchange.ts';
import type { Fault } from './fault.ts';

/** Docker Hub's limit: a GET of a manifest is a pull, a HEAD is none, and both are told what is left. */
export class PullLimit {
  remaining: number;
  readonly #limit: number;
  readonly #windowSec = 21_600;

  constructor(limit: number) {
    this.#limit = limit;
    this.remaining = limit;
  }

  /** For the simulator's `faults`. */
  readonly fault: Fault = {
    name: 'pull-limit',
    on: ['manifest', 'look'],
    harmless: false,
    bend: (answer, { request }) => {
      if (request.kind === 'look' && !request.url.pathname.includes('/manifests/')) return answer;
      if (answer.status !== 200) return answer;
      const isPull = request.kind === 'manifest';
      const isRefused = isPull && this.remaining === 0;
      if (isPull && !isRefused) this.remaining--;
      const limits = {
        'ratelimit-limit': `${this.#limit};w=${this.#windowSec}`,
        'ratelimit-remaining': `${this.remaining};w=${this.#windowSec}`,
      };
      if (!isRefused) return { ...answer, headers: { ...answer.headers, ...limits } };
      answer.release?.();
      const body = '{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}';
      return answerWith(429, body, { ...limits, 'retry-after': String(this.#windowSec) });
    },
  };
}
