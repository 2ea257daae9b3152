import { after } from 'node:test';

/** Owns resources and releases them at its end: the context of a test, a suite, a program. */
export interface Lifetime {
  after(undo: () => unknown): void;
}

const pending = new WeakMap<Lifetime, (() => unknown)[]>();

/**
 * Runs `undo` when the lifetime ends, in reverse order of registration, unlike the hooks of node:test. All are run, even if
 * some fail.
 */
export function undoAfter(lifetime: Lifetime, undo: () => unknown): void {
  const undos = pending.get(lifetime);
  if (undos !== undefined) {
    undos.push(undo);
    return;
  }
  const own = [undo];
  pending.set(lifetime, own);
  lifetime.after(() => undoAll(own));
}

/** Must be called where the suite is declared: at the top of a file or in the body of a `describe`. */
export function suiteLifetime(): Lifetime {
  const undos: (() => unknown)[] = [];
  after(() => undoAll(undos));
  return { after: (undo) => void undos.push(undo) };
}

/** For a program: `await using lifetime = programLifetime()`. */
export function programLifetime(): Lifetime & AsyncDisposable {
  const undos: (() => unknown)[] = [];
  return { after: (undo) => void undos.push(undo), [Symbol.asyncDispose]: () => undoAll(undos) };
}

async function undoAll(undos: (() => unknown)[]): Promise<void> {
  const errors: unknown[] = [];
  for (let undo = undos.pop(); undo !== undefined; undo = undos.pop()) {
    try {
      await undo();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, `cleaning up failed: ${errors.map(String).join('; ')}`);
}
