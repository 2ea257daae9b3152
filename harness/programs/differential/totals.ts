import type { Columns } from '../../../measurements/table.ts';
import { kindOf, type Verdict } from './judge.ts';
import type { JudgedCase } from './run.ts';

/** A row of cases.csv. */
export interface CaseRow {
  readonly case: number;
  readonly layers: number;
  readonly entries: number;
  readonly refusal: string | undefined;
  readonly comparisons: number;
  readonly lazyLayers: number;
  readonly fallbackLayers: number;
  readonly failures: string;
  readonly durationMs: number;
}

export const caseColumns: Columns<CaseRow> = {
  case: 'integer',
  layers: 'integer',
  entries: 'integer',
  refusal: 'text',
  comparisons: 'integer',
  lazyLayers: 'integer',
  fallbackLayers: 'integer',
  failures: 'text',
  durationMs: 'integer',
};

export function rowOf({ id, stack, verdict, durationMs }: JudgedCase): CaseRow {
  const { refusal, entries, comparisons, lazyLayers, fallbackLayers, failures } = verdict;
  return {
    case: id.index,
    layers: stack.layers.length,
    entries,
    refusal: refusal?.slice(-200),
    comparisons,
    lazyLayers,
    fallbackLayers,
    failures: failures.map(kindOf).join('; '),
    durationMs: Math.round(durationMs),
  };
}

/** What a run adds up to. */
export class Totals {
  cases = 0;
  failed = 0;
  refused = 0;
  undecided = 0;
  comparisons = 0;
  lazyLayers = 0;
  fallbackLayers = 0;
  readonly kinds = new Map<string, number>();

  add({ verdict }: { readonly verdict: Verdict }): void {
    this.cases++;
    if (verdict.failures.length > 0) this.failed++;
    if (verdict.refusal !== undefined) this.refused++;
    if (verdict.isUndecided) this.undecided++;
    this.comparisons += verdict.comparisons;
    this.lazyLayers += verdict.lazyLayers;
    this.fallbackLayers += verdict.fallbackLayers;
    for (const kind of verdict.failures.map(kindOf)) this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
  }

  summary(): string {
    const share = (100 * this.fallbackLayers) / Math.max(1, this.lazyLayers + this.fallbackLayers);
    return (
      `${this.failed} of ${this.cases} stacks differ; ${this.comparisons} trees compared; containerd refuses ${this.refused} stacks, ${this.undecided} are undecided; ` +
      `${share.toFixed(2)} % of ${this.lazyLayers + this.fallbackLayers} layers fell back`
    );
  }

  details(): Record<string, number> {
    const { cases, failed, refused, undecided, comparisons, lazyLayers, fallbackLayers } = this;
    return { cases, failed, refused, undecided, comparisons, lazyLayers, fallbackLayers };
  }
}
