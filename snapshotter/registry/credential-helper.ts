import { spawn } from 'node:child_process';
import { RegistryError } from './error.ts';
import type { Credential } from './keychain.ts';

export interface HelperOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

const maxOutputBytes = 1024 * 1024;

/**
 * Runs `docker-credential-NAME get` (github.com/docker/docker-credential-helpers, "Development"): server URL on stdin,
 * JSON on stdout; the user name `<token>` marks an identity token. Undefined when the helper has nothing for the server.
 * Its output never becomes part of an error, since it may be the secret.
 */
export async function askCredentialHelper(
  name: string,
  serverUrl: string,
  options: HelperOptions,
): Promise<Credential | undefined> {
  const operation = `ask docker-credential-${name} for ${serverUrl}`;
  const fail = (detail: string): RegistryError => new RegistryError('keychain', detail, { operation });
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw fail('that is not the name of a helper');

  const { exitCode, output } = await runHelper(`docker-credential-${name}`, serverUrl, options, fail);
  if (exitCode !== 0) {
    if (/credentials not found/i.test(output)) return undefined;
    throw fail(`it ended with ${exitCode}`);
  }
  let answer: { Username?: unknown; Secret?: unknown } | null;
  try {
    answer = JSON.parse(output);
  } catch {
    throw fail('it did not answer with JSON');
  }
  const { Username: username, Secret: secret } = answer ?? {};
  if (typeof secret !== 'string' || secret === '') return undefined;
  if (username === '<token>') return { kind: 'identity-token', token: secret };
  return typeof username === 'string' ? { kind: 'basic', username, password: secret } : undefined;
}

function runHelper(
  program: string,
  input: string,
  { env, limitMs, signal }: HelperOptions,
  fail: (detail: string) => RegistryError,
): Promise<{ exitCode: number | string; output: string }> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    // In its own process group: killing a script alone would leave its children behind.
    const child = spawn(program, ['get'], { env, detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
    const pieces: Buffer[] = [];
    let sizeBytes = 0;

    const end = (settle: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const stop = (error: unknown): void => {
      killGroup(child.pid);
      child.stdout.destroy();
      end(() => reject(error));
    };
    const onAbort = (): void => stop(signal.reason);
    const timer = setTimeout(() => stop(fail(`no answer within ${limitMs} ms`)), limitMs);
    signal.addEventListener('abort', onAbort, { once: true });

    child.once('error', (error: NodeJS.ErrnoException) => {
      const detail =
        error.code === 'ENOENT' ? 'it is not installed (not in PATH)' : `it does not start (${error.code})`;
      end(() => reject(fail(detail)));
    });
    child.once('close', (code, killedBy) => {
      end(() => resolve({ exitCode: code ?? killedBy ?? 'nothing', output: Buffer.concat(pieces).toString() }));
    });
    child.stdout.on('data', (piece: Buffer) => {
      sizeBytes += piece.length;
      if (sizeBytes > maxOutputBytes) stop(fail('it does not stop writing'));
      else pieces.push(piece);
    });
    // A helper may exit without reading its input.
    child.stdin.on('error', () => {});
    child.stdin.end(`${input}\n`);
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Already gone.
  }
}
