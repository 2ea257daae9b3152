/**
 * Labels for a snapshot that no container or image names yet: containerd's garbage collector, which runs whenever
 * something was deleted, takes it away otherwise (containerd's docs/garbage-collection.md).
 */
export function gcRoot(): Readonly<Record<string, string>> {
  return { 'containerd.io/gc.root': new Date().toISOString() };
}
