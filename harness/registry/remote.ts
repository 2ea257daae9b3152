import { UsageError } from '../cli/quantity.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';

/** A registry that is not ours, and where in it images lie. */
export interface RemoteRegistry {
  /** As in references: `docker.io`. */
  readonly registry: string;
  /** `docker.io/namespace`: images are `NAME/python:3.11-org`. */
  readonly name: string;
}

const embedded = 'embedded';

/** `embedded` is undefined: the registry that the harness starts. Throws UsageError. */
export function parseRegistry(option: string, text: string): RemoteRegistry | undefined {
  if (text === embedded) return undefined;
  return parseNamespace(text, `${option} is ${embedded}, docker.io/NAMESPACE, ghcr.io/NAMESPACE or HOST/NAMESPACE`);
}

/** Throws UsageError, which begins with `allowed`. */
export function parseNamespace(text: string, allowed: string): RemoteRegistry {
  const refuse = (): never => {
    throw new UsageError(`${allowed}, not '${text}'`);
  };
  const name = text.replace(/\/+$/, '');
  // Without a host's name before it, a namespace would be one of Docker Hub by accident.
  if (!/^(?:[^/]*[.:][^/]*|localhost)\/./.test(name)) return refuse();
  try {
    const { registry, repository, tag } = parseReference(`${name}/image:tag`);
    return tag === 'tag' && repository.endsWith('/image') ? { registry, name } : refuse();
  } catch {
    return refuse();
  }
}
