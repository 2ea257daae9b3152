import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Env, required, setVariables } from './github.ts';

/** Docker Hub's credentials are filed under the address of its first API. */
const hubKey = 'https://index.docker.io/v1/';

/**
 * Writes the credentials of REGISTRY (HOST/NAMESPACE) where Docker, containerd's pulls and the snapshotter look for them, and names the
 * place to the later steps. `docker login` would need a running Docker, and its warning about the plain file is in the log of every run.
 */
export async function logIn(env: Env): Promise<void> {
  const directory = join(required(env, 'RUNNER_TEMP'), 'docker');
  const host = required(env, 'REGISTRY').split('/')[0]!;
  const key = host === 'docker.io' ? hubKey : host;
  const auth = Buffer.from(`${required(env, 'REGISTRY_USER')}:${required(env, 'REGISTRY_TOKEN')}`).toString('base64');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { [key]: { auth } } }), { mode: 0o600 });
  await setVariables(env, { DOCKER_CONFIG: directory });
}
