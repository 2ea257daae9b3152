import { answerWith, readAll } from './exchange.ts';
import { type Bend, type Fault, location, onSuccess, status } from './fault.ts';
import { refuse } from './memory-origin.ts';

/** Responses of the token service. */
export const tokenFaults: readonly Fault[] = [
  {
    name: 'token-empty-beside-access-token',
    on: ['token'],
    harmless: true,
    bend: renamed((token) => ({ token: '', access_token: token })),
  },
  {
    name: 'token-null-beside-access-token',
    on: ['token'],
    harmless: true,
    bend: renamed((token) => ({ token: null, access_token: token })),
  },
  { name: 'token-empty', on: ['token'], harmless: false, bend: renamed(() => ({ token: '' })) },
  {
    name: 'token-with-line-break',
    on: ['token'],
    harmless: false,
    bend: renamed((token) => ({ token: `${token}\r\nx-y: z` })),
  },
  {
    name: 'token-redirect-same-host',
    on: ['token'],
    times: 1,
    harmless: true,
    bend: (answer, bending) => location(307, `/token${bending.request.url.search}`)(answer, bending),
  },
  {
    name: 'token-redirect-elsewhere',
    on: ['token'],
    harmless: false,
    bend: (answer, bending) =>
      bending.request.site === 'elsewhere'
        ? answer
        : location(307, bending.elsewhere(`/token${bending.request.url.search}`).href)(answer, bending),
  },
  { name: 'token-redirect-loop', on: ['token'], harmless: false, bend: location(302, '/token') },
  { name: 'token-503-twice', on: ['token'], times: 2, harmless: true, bend: status(503) },
  {
    name: 'token-401',
    on: ['token'],
    harmless: false,
    bend: () => answerWith(401, '{"details":"wrong password: hunter2"}'),
  },
  { name: 'token-html', on: ['token'], harmless: false, bend: () => answerWith(200, '<html>login</html>') },
  {
    name: 'token-expires-at-once',
    on: ['token'],
    harmless: true,
    bend: renamed((token) => ({ token, expires_in: 0.001 })),
  },
  { name: 'token-useless', on: ['token'], harmless: false, bend: renamed(() => ({ token: 'never-issued' })) },
  { name: 'token-hangs-once', on: ['token'], times: 1, harmless: true, breaks: 'hang' },
  {
    name: 'token-not-for-pull-alone',
    on: ['token'],
    avoidable: true,
    harmless: true,
    bend: (answer, { request }) => {
      const scopes = request.url.searchParams.getAll('scope');
      // As for a repository that does not exist yet: a push may create it, a pull is refused.
      const isNew = scopes.some((scope) => scope.includes(':team/target:') && !scope.includes('push'));
      return isNew ? refuse(403, 'DENIED') : answer;
    },
  },
];

function renamed(fields: (token: string) => object): Bend {
  return onSuccess(async (answer) => {
    const { token, access_token: other } = JSON.parse((await readAll(answer.body!)).toString()) as Record<
      string,
      string
    >;
    return answerWith(200, JSON.stringify({ expires_in: 60, ...fields(token || other || '') }));
  });
}
