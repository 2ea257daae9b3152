import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { putComment } from './comment.ts';
import type { Env } from './github.ts';

const limit = { timeout: 20_000 };
const { signal } = new AbortController();

interface StandIn {
  readonly env: Env;
  readonly comments: { id: number; body: string }[];
  status: number | undefined;
}

/** The part of GitHub's API that comments need, and the event of pull request 7. */
async function standIn(t: TestContext, event: object = { pull_request: { number: 7 } }): Promise<StandIn> {
  const directory = await mkdtemp(join(tmpdir(), 'actions-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await writeFile(join(directory, 'event.json'), JSON.stringify(event));
  const comments: { id: number; body: string }[] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url!, 'http://localhost');
    const answer = (status: number, value: unknown) => response.writeHead(status).end(JSON.stringify(value));
    if (github.status !== undefined) return answer(github.status, { message: 'no' });
    assert.equal(request.headers.authorization, 'Bearer a-token');
    if (request.method === 'GET') {
      assert.equal(url.pathname, '/repos/o/r/issues/7/comments');
      const page = Number(url.searchParams.get('page'));
      return answer(200, comments.slice((page - 1) * 100, page * 100));
    }
    const { body } = (await json(request)) as { body: string };
    if (request.method === 'POST') {
      comments.push({ id: comments.length + 1, body });
      return answer(201, {});
    }
    const id = Number(/^\/repos\/o\/r\/issues\/comments\/(\d+)$/.exec(url.pathname)![1]);
    comments.find((comment) => comment.id === id)!.body = body;
    return answer(200, {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const env = {
    GITHUB_API_URL: `http://127.0.0.1:${port}`,
    GITHUB_REPOSITORY: 'o/r',
    GITHUB_TOKEN: 'a-token',
    GITHUB_EVENT_PATH: join(directory, 'event.json'),
  };
  const github: StandIn = { env, comments, status: undefined };
  return github;
}

test('a second run replaces the comment of the first, also behind a hundred others', limit, async (t) => {
  const { env, comments } = await standIn(t);
  for (let id = 1; id <= 130; id++) comments.push({ id, body: 'looks good' });
  assert.equal(await putComment(env, 'bench', 'first', signal), 'created');
  assert.equal(await putComment(env, 'bench', 'second', signal), 'updated');
  assert.equal(await putComment(env, 'registry.example/app:1', 'another', signal), 'created');
  assert.deepEqual(
    comments.slice(130).map(({ body }) => body),
    ['<!-- stargz-bench: bench -->\nsecond', '<!-- stargz-bench: registry.example/app:1 -->\nanother'],
  );
});

test('a name cannot end the marker', limit, async (t) => {
  const { env, comments } = await standIn(t);
  await putComment(env, 'a --> <b>', 'text', signal);
  assert.equal(comments[0]!.body, '<!-- stargz-bench: a_--___b_ -->\ntext');
});

test('a run for something else, and a token that may not comment, are no failures', limit, async (t) => {
  assert.equal(await putComment((await standIn(t, {})).env, 'bench', 'text', signal), 'not-a-pull-request');
  const github = await standIn(t);
  github.status = 403;
  assert.equal(await putComment(github.env, 'bench', 'text', signal), 'not-permitted');
});

test('any other answer is an error without the token', limit, async (t) => {
  const github = await standIn(t);
  github.status = 500;
  await assert.rejects(putComment(github.env, 'bench', 'text', signal), (error: Error) => {
    assert.match(error.message, /^GET http.*comments.* was answered with 500/);
    assert.doesNotMatch(error.message, /a-token/);
    return true;
  });
});
