/** A folder of workloads/ that cannot be used: which file, which field, and the remedy. */
export class WorkloadError extends Error {
  override readonly name = 'WorkloadError';
  readonly code = 'invalid-workload';
  readonly remedy: string;

  constructor(file: string, problem: string, remedy: string) {
    super(`${file}: ${problem}`);
    this.remedy = remedy;
  }
}
