import { HarnessError } from '../../cli/error.ts';
import { type Env, pullRequestOf, required } from './github.ts';

export type CommentOutcome = 'created' | 'updated' | 'not-a-pull-request' | 'not-permitted';

interface Comment {
  readonly id: number;
  readonly body?: string;
}

const perPage = 100;
const limitMs = 30_000;
/** GitHub refuses longer bodies. */
const maxBodyLength = 65_536;

/**
 * Puts `markdown` under the pull request that the run is for, in place of the comment that an earlier run with the same `name` left. A
 * token that may not comment, as in a pull request from a fork, is no failure: the summary of the run says the same.
 */
export async function putComment(
  env: Env,
  name: string,
  markdown: string,
  signal: AbortSignal,
): Promise<CommentOutcome> {
  const number = await pullRequestOf(env);
  if (number === undefined) return 'not-a-pull-request';
  const marker = `<!-- stargz-bench: ${name.replace(/[^\w./:-]/g, '_')} -->`;
  const body = `${marker}\n${markdown}`.slice(0, maxBodyLength);
  const call = caller(env, signal);
  const thread = `/issues/${number}/comments`;
  const earlier = await findComment(call, thread, marker);
  if (earlier === 'not-permitted') return earlier;
  const answer =
    earlier === undefined
      ? await call('POST', thread, { body })
      : await call('PATCH', `/issues/comments/${earlier.id}`, { body });
  if (answer === 'not-permitted') return answer;
  return earlier === undefined ? 'created' : 'updated';
}

type Call = (method: string, path: string, body?: object) => Promise<unknown | 'not-permitted'>;

async function findComment(call: Call, thread: string, marker: string): Promise<Comment | 'not-permitted' | undefined> {
  for (let page = 1; ; page++) {
    const comments = await call('GET', `${thread}?per_page=${perPage}&page=${page}`);
    if (comments === 'not-permitted') return comments;
    const listed = comments as readonly Comment[];
    const found = listed.find(({ body }) => body?.startsWith(marker));
    if (found !== undefined || listed.length < perPage) return found;
  }
}

/** Calls the API of the repository. Throws HarnessError `network`, which does not show the token. */
function caller(env: Env, signal: AbortSignal): Call {
  const base = `${required(env, 'GITHUB_API_URL')}/repos/${required(env, 'GITHUB_REPOSITORY')}`;
  const headers = {
    accept: 'application/vnd.github+json',
    authorization: `Bearer ${required(env, 'GITHUB_TOKEN')}`,
    'x-github-api-version': '2022-11-28',
  };
  return async (method, path, body) => {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
    const request = { method, headers, signal: limited, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const what = `${method} ${base}${path}`;
    const response = await fetch(`${base}${path}`, request).catch((error: unknown) => {
      signal.throwIfAborted();
      throw new HarnessError('network', `${what} failed: ${(error as Error).message}`, { cause: error });
    });
    if (response.ok) return await response.json();
    await response.body?.cancel();
    if (response.status === 401 || response.status === 403) return 'not-permitted';
    throw new HarnessError('network', `${what} was answered with ${response.status} ${response.statusText}`);
  };
}
