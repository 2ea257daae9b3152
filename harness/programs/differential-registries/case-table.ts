import type { Columns } from '../../../measurements/table.ts';
import { type Case, mustSucceed } from '../../../testkit/registry-differential/cases.ts';
import type { Verdict } from '../../../testkit/registry-differential/run-case.ts';

/** A row of cases.csv. */
export interface CaseRow {
  readonly name: string;
  readonly due: 'right' | 'either';
  readonly outcome: string;
  readonly requests: number;
  readonly durationMs: number;
  readonly complaints: string;
  readonly message: string | undefined;
}

export const caseColumns: Columns<CaseRow> = {
  name: 'text',
  due: 'text',
  outcome: 'text',
  requests: 'integer',
  durationMs: 'number',
  complaints: 'text',
  message: 'text',
};

export function toRow({ name, outcome, requests, durationMs, complaints, message }: Verdict, one: Case): CaseRow {
  const due = mustSucceed(one) ? 'right' : 'either';
  return {
    name,
    due,
    outcome,
    requests,
    durationMs,
    complaints: complaints.join('; '),
    message: message?.slice(0, 300),
  };
}
