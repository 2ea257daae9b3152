import { type Answer, answerWith, piecesOf, type RequestKind, readAll, type SimulatedRequest } from './exchange.ts';

/** What a fault may refer to besides the response. */
export interface Bending {
  readonly request: SimulatedRequest;
  /** A URL of the third party. */
  readonly elsewhere: (path: string) => URL;
}

/** One way in which a registry's responses differ from what they should be. */
export interface Fault {
  readonly name: string;
  /** The kinds of requests it affects, at every site. */
  readonly on: readonly RequestKind[];
  /** Affects only this many of them, the first ones; undefined: all. */
  readonly times?: number;
  /** A correct client still gets what it asked for. */
  readonly harmless: boolean;
  /** Changes the request before the correct registry answers it. */
  readonly asks?: (request: SimulatedRequest) => SimulatedRequest;
  readonly bend?: (answer: Answer, bending: Bending) => Answer | Promise<Answer>;
  /** Correct clients never send a request that it affects. */
  readonly avoidable?: boolean;
  /** Instead of a response. */
  readonly breaks?: 'reset' | 'hang';
}

export type Bend = NonNullable<Fault['bend']>;

export const isSuffix = ({ headers }: SimulatedRequest): boolean => headers.range?.startsWith('bytes=-') === true;
export const withoutRange = (request: SimulatedRequest): SimulatedRequest => {
  if (request.headers.range === undefined) return request;
  const { range: _asked, ...headers } = request.headers;
  return { ...request, headers };
};
export const status =
  (code: number, headers: Record<string, string> = {}): Bend =>
  () =>
    answerWith(code, '', headers);
export const location =
  (code: number, to: string): Bend =>
  () =>
    answerWith(code, '', { location: to });
export const onSuffix =
  (bend: Bend): Bend =>
  (answer, bending) =>
    isSuffix(bending.request) ? bend(answer, bending) : answer;
export const onSuccess =
  (bend: Bend): Bend =>
  (answer, bending) =>
    answer.status < 300 && answer.body !== undefined ? bend(answer, bending) : answer;
export const onBytes = (change: (bytes: Buffer) => Buffer, headers: Record<string, string> = {}): Bend =>
  onSuccess(async (answer) => {
    const bytes = change(await readAll(answer.body!));
    return {
      ...answer,
      headers: { ...answer.headers, 'content-length': bytes.length, ...headers },
      body: piecesOf(bytes),
    };
  });
