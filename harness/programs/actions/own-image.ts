import { type Env, given, inWorkspace, pathOf, required } from './github.ts';

/** Inputs of action.yml that are options of `bench` with one value. */
const single = {
  INPUT_COMMAND: '--command',
  INPUT_READY_LINE: '--ready-line',
  INPUT_READY_HTTP: '--ready-http',
  INPUT_READY_PORT: '--ready-port',
  INPUT_MODES: '--modes',
  INPUT_SAMPLES: '--samples',
  INPUT_RTT: '--rtt',
  INPUT_BANDWIDTH: '--bandwidth',
} as const;

/** The options of `bench` for the image of whoever uses action.yml. With `=`, a value may begin with a dash. */
export function ownImageArguments(env: Env): string[] {
  const valued = Object.entries(single).flatMap(([name, option]) => {
    const value = given(env, name);
    return value === undefined ? [] : [`${option}=${value}`];
  });
  const stdin = pathOf(env, 'INPUT_STDIN');
  return [
    `--image=${imageOf(env)}`,
    ...valued,
    ...(given(env, 'INPUT_READY_EXIT') === 'true' ? ['--ready-exit'] : []),
    ...(given(env, 'INPUT_TIMELINE') === 'true' ? ['--timeline'] : []),
    ...(stdin === undefined ? [] : [`--stdin=${stdin}`]),
    ...linesOf(env, 'INPUT_ENV').map((line) => `--env=${line}`),
    ...linesOf(env, 'INPUT_MOUNT').map((line) => `--mount=${inWorkspace(env, line)}`),
  ];
}

function imageOf(env: Env): string {
  const image = required(env, 'INPUT_IMAGE');
  const [, kind, path] = /^(oci|docker-archive):(.+)$/.exec(image) ?? [];
  return kind === undefined ? image : `${kind}:${inWorkspace(env, path!)}`;
}

function linesOf(env: Env, name: string): string[] {
  return (given(env, name) ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
