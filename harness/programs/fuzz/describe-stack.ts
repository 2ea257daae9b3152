/** The error's stack without frames of the fuzzer and of Node. */
export function describeStack(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines = (error.stack ?? error.message).split('\n');
  return lines
    .filter((line) => !line.includes('/harness/programs/fuzz/') && !line.includes('node:internal'))
    .join('\n');
}
