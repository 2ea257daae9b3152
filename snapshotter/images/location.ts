/** Where images are read from and written to, as users write it: the transports of containers-transports(5). */
import { formatReference, parseReference, type Reference } from '../registry/reference.ts';
import { ImageError } from './error.ts';

export type ImageLocation =
  | { readonly kind: 'registry'; readonly reference: Reference }
  /** A name or an image ID, which only the engine can tell apart. */
  | { readonly kind: 'docker-daemon'; readonly image: string }
  | { readonly kind: 'oci'; readonly directory: string; readonly tag?: string }
  /** `image`: which of the archive's images, or the name to give to the one that is written. */
  | { readonly kind: 'docker-archive'; readonly path: string; readonly image?: string };

export const locationHelp = `an image in a registry (NAME:TAG), docker-daemon:NAME (the local Docker Engine),
                        oci:DIR[:TAG] (an OCI image layout) or docker-archive:FILE[:NAME] (as docker save writes)`;

/** Throws ImageError `invalid-location` or RegistryError `invalid-reference`. */
export function parseLocation(text: string): ImageLocation {
  const colon = text.indexOf(':');
  const rest = text.slice(colon + 1);
  switch (text.slice(0, Math.max(0, colon))) {
    case 'docker-daemon':
      if (rest === '') throw invalid(text, 'it names no image: write docker-daemon:NAME');
      return { kind: 'docker-daemon', image: rest };
    case 'oci': {
      const [directory, tag] = splitPath(text, rest);
      if (tag !== undefined && !tagPattern.test(tag)) throw invalid(text, `${JSON.stringify(tag)} is no tag`);
      return { kind: 'oci', directory, ...(tag === undefined ? {} : { tag }) };
    }
    case 'docker-archive': {
      const [path, image] = splitPath(text, rest);
      return { kind: 'docker-archive', path, ...(image === undefined ? {} : { image }) };
    }
    default:
      return { kind: 'registry', reference: parseReference(text) };
  }
}

/** For a target: nothing that is written can be named by a digest that is not known yet. Throws as `parseLocation` does. */
export function parseTarget(text: string): ImageLocation {
  const location = parseLocation(text);
  const name = location.kind === 'registry' ? text : 'image' in location ? location.image : undefined;
  if (name !== undefined && parseReference(name).digest !== undefined)
    throw invalid(text, 'a target has a digest, which is unknown before it is written: give a tag');
  return location;
}

/** `parseLocation` of it returns an equal location. */
export function formatLocation(location: ImageLocation): string {
  switch (location.kind) {
    case 'registry':
      return formatReference(location.reference);
    case 'docker-daemon':
      return `docker-daemon:${location.image}`;
    case 'oci':
      return `oci:${location.directory}${location.tag === undefined ? '' : `:${location.tag}`}`;
    case 'docker-archive':
      return `docker-archive:${location.path}${location.image === undefined ? '' : `:${location.image}`}`;
  }
}

/** Whether two names are of one image: Docker writes `app:1` for `docker.io/library/app:1`. */
export function isSameName(one: string, other: string): boolean {
  return one === other || canonicalName(one) === canonicalName(other);
}

function canonicalName(name: string): string {
  try {
    return formatReference(parseReference(name));
  } catch {
    return name;
  }
}

/** A reference name of the OCI image layout (image-spec, "org.opencontainers.image.ref.name"). */
const tagPattern = /^[A-Za-z0-9]+(?:[-._:@/+][A-Za-z0-9]+|--[A-Za-z0-9]+)*$/;

/** Paths hold no colon, as elsewhere with these transports. */
function splitPath(text: string, rest: string): [string, string | undefined] {
  const colon = rest.indexOf(':');
  const [path, name] = colon < 0 ? [rest, undefined] : [rest.slice(0, colon), rest.slice(colon + 1)];
  if (path === '') throw invalid(text, 'it names no path');
  if (name === '') throw invalid(text, 'there is nothing after its last colon');
  return [path, name];
}

function invalid(text: string, why: string): ImageError {
  return new ImageError('invalid-location', `cannot use ${JSON.stringify(text.slice(0, 200))} as an image: ${why}`);
}
