import { formatFactor, formatMegabytes, formatRatio, formatSeconds } from '../measurements/format.ts';
import { baselineMode, baselineOf, type Group } from '../measurements/summary.ts';
import { describeConditions, describeOrigin, reproduction } from './conditions.ts';
import type { Run } from './run.ts';
import { type Chart, escapeXml } from './render.ts';
import { reportStyle } from './report-style.ts';

export interface DrawnChart {
  readonly chart: Chart;
  readonly svg: string;
}

/** One self-contained HTML file: the charts inline, the numbers as a table, the environment. */
export function renderReport(run: Run, drawn: readonly DrawnChart[]): string {
  const { environment } = run;
  const runId = run.samples[0]?.runId ?? '';
  const [first, ...rest] = drawn.map(({ chart, svg }) => `<figure id="${chart.name}">${svg}</figure>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>stargz-bench ${escapeXml(runId)}</title>
<style>${reportStyle}</style>
</head>
<body>
<main>
<header>
<p class="kicker">stargz-bench, run ${escapeXml(runId)}, ${escapeXml(describeOrigin(run))}</p>
<h1>${headline(run)}</h1>
<p class="conditions">${escapeXml(describeConditions(run))}</p>
</header>
${first ?? ''}
<h2>Numbers</h2>
${numbersTable(run)}
${failures(run)}
${rest.join('\n')}
<h2>Conditions</h2>
<p><code>${escapeXml(reproduction(run).replace(/^Reproduce: /, ''))}</code></p>
${environment === undefined ? '<p>No environment.json beside the samples.</p>' : definitionList({ ...environment })}
</main>
</body>
</html>
`;
}

const maxHeadlineModes = 3;

function headline(run: Run): string {
  const first = run.overall.filter(({ mode, speedUp }) => speedUp !== undefined && baselineOf(mode) === baselineMode);
  const parts = first.slice(0, maxHeadlineModes).flatMap(({ mode, speedUp }) => {
    if (speedUp === undefined) return [];
    const words = speedUp >= 1 ? `${formatFactor(speedUp)} times faster` : `${formatFactor(1 / speedUp)} times slower`;
    return [`<em>${escapeXml(mode)}</em> is ${words}`];
  });
  if (parts.length === 0) return 'From pull to ready';
  return `${parts.join(', ')} than legacy from pull to ready`;
}

function numbersTable(run: Run): string {
  const heads = [
    'image',
    'mode',
    'n',
    'pull s',
    'create s',
    'run s',
    'total s',
    'range s',
    'MB',
    'requests',
    'max RSS MiB',
    'speed-up',
  ];
  const body = run.groups.map((group, index) => {
    const starts = group.workload !== run.groups[index - 1]?.workload;
    const cells = numbersRow(group).map((cell) => `<td>${cell}</td>`);
    const name = starts ? escapeXml(group.workload) : '';
    return `<tr${starts ? ' class="first"' : ''}><th scope="row">${name}</th><td>${escapeXml(group.mode)}</td>${cells.join('')}</tr>`;
  });
  const overall = run.overall.flatMap(({ mode, speedUp }) =>
    speedUp === undefined
      ? []
      : [
          `<tr class="overall"><th scope="row">all</th><td>${escapeXml(mode)}</td>` +
            `<td colspan="9">geometric mean</td><td>${formatRatio(speedUp)}</td></tr>`,
        ],
  );
  return `<div class="scroll"><table>
<thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead>
<tbody>${[...body, ...overall].join('\n')}</tbody>
</table></div>
<p class="note">Pull, create, run and total are those of the sample with the median total, so that they add up. Intervals are in summary.csv.</p>`;
}

function numbersRow(group: Group): string[] {
  const { samples, failedCount, middle } = group;
  const count =
    failedCount > 0 ? `${samples.length} <span class="failed">+${failedCount} failed</span>` : `${samples.length}`;
  if (middle === undefined) return [count, ...Array.from({ length: 9 }, () => '')];
  const whole = (value: number | undefined) => (value === undefined ? '' : value.toFixed(0));
  return [
    count,
    formatSeconds(middle.pullMs),
    formatSeconds(middle.createMs),
    formatSeconds(middle.runMs),
    `<strong>${formatSeconds(middle.totalMs)}</strong>`,
    `${formatSeconds(samples[0]!.totalMs)} to ${formatSeconds(samples.at(-1)!.totalMs)}`,
    group.medianWireBytes === undefined ? '' : formatMegabytes(group.medianWireBytes),
    whole(group.medianWireRequests),
    whole(group.maxDaemonRssKib && group.maxDaemonRssKib / 1024),
    formatRatio(group.speedUp),
  ];
}

function failures(run: Run): string {
  const failed = run.samples.filter((sample) => !sample.ok);
  if (failed.length === 0) return '';
  const items = failed.map(
    ({ workload, mode, error }) => `<li>${escapeXml(`${workload} ${mode}: ${error ?? 'no reason recorded'}`)}</li>`,
  );
  return `<h2>Failed cells</h2>\n<ul class="failures">${items.join('')}</ul>`;
}

/** Nested objects as nested lists, with the keys of environment.json. */
function definitionList(record: Readonly<Record<string, unknown>>): string {
  const items = Object.entries(record).map(
    ([key, value]) => `<dt>${escapeXml(key)}</dt><dd>${renderValue(value)}</dd>`,
  );
  return `<dl>${items.join('')}</dl>`;
}

function renderValue(value: unknown): string {
  if (Array.isArray(value)) {
    const plain = value.every((item) => typeof item !== 'object' || item === null);
    return plain ? escapeXml(value.join(' ')) : value.map(renderValue).join('');
  }
  if (typeof value === 'object' && value !== null) return definitionList(value as Record<string, unknown>);
  return escapeXml(String(value));
}
