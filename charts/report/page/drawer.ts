import { formatMegabytes, formatRatio, formatSeconds } from '../../../measurements/format.ts';
import type { Sample } from '../../../measurements/sample.ts';
import { reproduction } from '../../run/conditions.ts';
import type { Run } from '../../run/run.ts';
import type { Cell } from '../cells.ts';
import { definitionList, escapeHtml } from '../html.ts';

/** What is behind a row of the table: every sample, the command that measures it again, the conditions. */
export function drawerHtml(run: Run, cell: Cell): string {
  const { workload, mode } = cell.group;
  return `<div class="top"><div><h2 id="drawer-title">${escapeHtml(`${workload}, ${mode}`)}</h2>
<p class="note">${escapeHtml(describe(cell))}</p></div>
<button type="button" class="plain" data-close autofocus>Close</button></div>
<h3>Samples</h3>
${samplesTable(cell)}
<h3>Measure it again</h3>
<p class="command"><code>${escapeHtml(commandOf(run, cell))}</code><button type="button" class="plain" data-copy>Copy</button></p>
<h3>Conditions</h3>
${conditions(run, cell)}`;
}

function describe({ at, group }: Cell): string {
  const { verdict, reference, speedUp, speedUpInterval: interval, comparison, outliers } = group;
  const compared =
    verdict === undefined
      ? 'compared with none'
      : `${verdict} beside ${reference}: speed-up ${formatRatio(speedUp)}` +
        (interval === undefined
          ? ''
          : ` (95 % interval ${formatRatio(interval.low)} to ${formatRatio(interval.high)})`) +
        (comparison === undefined ? '' : `, adjusted p = ${comparison.adjustedP.toPrecision(2)}`);
  const far =
    outliers.length === 0
      ? ''
      : `; ${outliers.length} of ${group.samples.length} samples far from the others, and counted`;
  return `${at.name}; ${compared}${far}`;
}

const columns: readonly (readonly [string, (sample: Sample) => string])[] = [
  ['sample', ({ sample }) => `${sample}`],
  ['order', ({ order }) => `${order}`],
  ['pull s', ({ pullMs }) => formatSeconds(pullMs)],
  ['create s', ({ createMs }) => formatSeconds(createMs)],
  ['run s', ({ runMs }) => formatSeconds(runMs)],
  ['total s', ({ totalMs }) => formatSeconds(totalMs)],
  ['MB', ({ wireBytes }) => (wireBytes === undefined ? '' : formatMegabytes(wireBytes))],
  ['requests', ({ wireRequests }) => `${wireRequests ?? ''}`],
  ['lazy layers', ({ layers, lazyLayers }) => (layers === undefined ? '' : `${lazyLayers ?? 0} of ${layers}`)],
  ['mount', ({ mount }) => mount ?? ''],
  ['RSS MiB', ({ daemonRssPeakKib }) => (daemonRssPeakKib === undefined ? '' : (daemonRssPeakKib / 1024).toFixed(0))],
  ['started', ({ startedAt }) => startedAt.slice(11, 19)],
];

function samplesTable({ at, group }: Cell): string {
  const rows = at.samples
    .filter(({ workload, mode }) => workload === group.workload && mode === group.mode)
    .sort((one, other) => one.sample - other.sample);
  const outliers = new Set<number>(group.outliers.map(({ sample }) => sample));
  const body = rows.map((sample) => {
    const notes = [sample.error, outliers.has(sample.sample) ? 'far from the others' : '', sample.warnings];
    const cells = columns.map(([, text]) => `<td class="number">${escapeHtml(text(sample))}</td>`);
    const note = notes.filter((one) => one !== undefined && one !== '').join('; ');
    return `<tr>${cells.join('')}<td${sample.ok ? '' : ' class="failed"'}>${escapeHtml(note)}</td></tr>`;
  });
  const heads = [
    ...columns.map(([title]) => `<th scope="col" class="number">${title}</th>`),
    '<th scope="col">note</th>',
  ];
  return `<div class="scroll" role="region" aria-label="Samples" tabindex="0"><table><thead><tr>${heads.join('')}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
}

/** Of this cell and its reference, over its link. */
function commandOf(run: Run, { at, group }: Cell): string {
  const { workload, mode, reference } = group;
  const seed = run.environment?.seed;
  const modes = reference === undefined ? [mode] : [reference, mode];
  return (
    reproduction({ workloads: [workload], modes }, [at]) +
    (seed === undefined || seed === null ? '' : ` --seed ${seed}`)
  );
}

function conditions({ environment }: Run, { group }: Cell): string {
  if (environment === undefined) return '<p>No environment.json beside the samples.</p>';
  const { command, commit, dirty, startedAt, endedAt, status, versions, machine, warnings, details } = environment;
  const named = (list: unknown, name: string): object | undefined =>
    Array.isArray(list) ? list.find((item: { name?: unknown }) => item.name === name) : undefined;
  const mode = named(details.modes, group.mode) ?? {};
  const workload = named(details.workloads, group.workload) ?? {};
  return definitionList({
    'command of the run': command,
    commit,
    dirty,
    startedAt,
    endedAt,
    status,
    mode,
    workload,
    versions,
    machine,
    warnings,
  });
}
