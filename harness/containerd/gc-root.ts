/**
 * Labels that keep a snapshot which no container or image refers to from containerd's garbage collector, which runs after
 * each deletion (docs/garbage-collection.md of containerd).
 */
export function gcRoot(): Readonly<Record<string, string>> {
  return { 'containerd.io/gc.root': new Date().toISOString() };
}
