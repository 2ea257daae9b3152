/** The error and where it was thrown, without the frames of the fuzzer. */
export function describeStack(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines = (error.stack ?? error.message).split('\n');
  return lines
    .filter((line) => !line.includes('/harness/programs/fuzz/') && !line.includes('node:internal'))
    .join('\n');
}
