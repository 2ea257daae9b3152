import { formatRatio } from '../../measurements/format.ts';
import { type Verdict, verdicts } from '../../measurements/comparison.ts';
import { benchCharts } from '../bench/charts.ts';
import { describeAllLinks, describeOrigin, reproduction } from '../run/conditions.ts';
import { type LinkRun, type Run, referenceLink } from '../run/run.ts';
import { changesFromBase } from '../run/changes.ts';
import { changesTable } from './changes-table.ts';
import { bundlePage } from './bundle.ts';
import { cellsOf, columnsOf, linkId } from './cells.ts';
import { definitionList, escapeHtml } from './html.ts';
import { packRun } from './pack.ts';
import { pageStyle } from './style.ts';
import { cellRows, headRow } from './table.ts';
import { verdictHtml } from './verdict.ts';
import { describeRun, rankModes } from './words.ts';

/** One HTML file that needs nothing else (`home` is the site it is part of, if it is): the verdict, the table, the samples, and the program that filters and draws them. */
export async function renderReport(run: Run, { home }: { readonly home?: string } = {}): Promise<string> {
  const columns = columnsOf(run);
  const { environment } = run;
  return page({
    title: `stargz-bench ${run.runId}`,
    body: `<header class="wide">
<p class="kicker"><span>${home === undefined ? 'stargz-bench' : `<a href="${home}">stargz-bench</a>`}, run ${escapeHtml(run.runId)}, ${escapeHtml(describeOrigin(run))}; ${escapeHtml(describeAllLinks(run))}</span>
<button type="button" class="plain" id="theme">Theme</button></p>
${opening(run)}
</header>
<main class="wide">
${glance(run)}
${fromBase(run)}
<h2>Every workload and mode</h2>
${filters(run)}
<p id="count" role="status"></p>
<div class="scroll" id="cells" role="region" aria-label="Results per workload and mode" tabindex="0"><table>
<thead>${headRow(columns, '', false)}</thead>
<tbody>${cellRows(cellsOf(run), columns)}</tbody>
</table></div>
<p class="note">Pull, create, run and total are those of the sample with the median total, so that they add up. A speed-up is the median over the
rounds of the reference's total / this one's, with its 95 % interval. A verdict takes size and significance together (Mann-Whitney, adjusted for
all comparisons by Holm). The name of a workload opens its samples, its command and its conditions.</p>
<h2>Charts</h2>
<noscript><p>The charts are drawn by the page's own script, which is switched off here.</p></noscript>
${Object.keys(benchCharts).map(figure).join('\n')}
<h2>Conditions</h2>
<p class="command"><code>${escapeHtml(environment?.command ?? reproduction(run, run.links))}</code></p>
${environment === undefined ? '<p>No environment.json beside the samples.</p>' : `<details><summary>environment.json</summary>${definitionList({ ...environment })}</details>`}
</main>
<dialog id="drawer" aria-labelledby="drawer-title"></dialog>
<script type="application/json" id="run">${JSON.stringify(packRun(run)).replaceAll('<', '\\u003c')}</script>
<script>${await bundlePage()}</script>`,
  });
}

/** Of an image of the user's own, what bench said of it; of other runs, what its modes come to. */
function opening(run: Run): string {
  const { title, lede } = describeRun(run);
  const { verdict } = run;
  if (verdict === undefined) {
    return `<h1>${escapeHtml(title)}</h1>\n<p class="lede">${escapeHtml(lede.join(' '))}</p>`;
  }
  const all = [`${title}.`, ...lede].join(' ');
  return `<div class="answer">${verdictHtml(verdict)}</div>\n<h2>All that was measured</h2>\n<p class="lede">${escapeHtml(all)}</p>`;
}

/** A document with the project's style that may load nothing. */
export function page({ title, body }: { readonly title: string; readonly body: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data: 'self'">
<link rel="icon" href="data:,">
<title>${escapeHtml(title)}</title>
<style>${pageStyle}</style>
</head>
<body>
${body}
</body>
</html>
`;
}

/** Each mode's geometric mean, per link, and what its comparisons come to. */
function glance(run: Run): string {
  const [first] = rankModes(referenceLink(run.links));
  if (first === undefined) return '';
  const several = run.links.length > 1;
  const words = verdicts.filter((word) =>
    run.links.some(({ groups }) => groups.some(({ verdict }) => verdict === word)),
  );
  const rows = run.links.flatMap((at) => rankModes(at).map((one) => ({ at, ...one })));
  const body = rows.map(({ at, mode, speedUp, speedUpInterval: interval, verdict, workloadCount, reference }) => {
    const counts = countVerdicts(at, mode);
    const range = interval === undefined ? '' : `${formatRatio(interval.low)} to ${formatRatio(interval.high)}`;
    return (
      `<tr><th scope="row">${escapeHtml(mode)}</th>${several ? `<td>${escapeHtml(at.name)}</td>` : ''}` +
      `<td class="number"><strong>${formatRatio(speedUp)}</strong></td><td class="number">${range}</td>` +
      `<td class="verdict ${(verdict ?? '').split(' ')[0]}">${verdict ?? ''}</td><td class="number">${workloadCount}</td>` +
      `<td>${escapeHtml(reference ?? '')}</td>${words.map((word) => `<td class="number">${counts(word)}</td>`).join('')}</tr>`
    );
  });
  const heads = [
    ...[
      'mode',
      ...(several ? ['link'] : []),
      '#geometric mean',
      '#95 % interval',
      'verdict',
      '#workloads',
      'reference',
    ],
    ...words.map((word) => `#${word}`),
  ];
  const head = heads.map((name) =>
    name.startsWith('#') ? `<th scope="col" class="number">${name.slice(1)}</th>` : `<th scope="col">${name}</th>`,
  );
  return `<div class="scroll" role="region" aria-label="Speed-up per mode" tabindex="0"><table class="glance">
<thead><tr>${head.join('')}</tr></thead>
<tbody>${body.join('\n')}</tbody></table></div>`;
}

function fromBase(run: Run): string {
  const changes = changesFromBase(run);
  return changes === undefined ? '' : `<h2>Beside the base commit</h2>\n${changesTable(changes.changes)}`;
}

function countVerdicts({ groups }: LinkRun, mode: string): (verdict: Verdict) => number {
  const own = groups.filter((group) => group.mode === mode);
  return (verdict) => own.filter((group) => group.verdict === verdict).length;
}

function filters(run: Run): string {
  const pills = (name: string, title: string, values: readonly string[]) =>
    values.length < 2
      ? ''
      : `<fieldset><legend>${title}</legend>${values
          .map(
            (value) =>
              `<label class="pill"><input type="checkbox" name="${name}" value="${escapeHtml(value)}"><span>${escapeHtml(value)}</span></label>`,
          )
          .join('')}</fieldset>`;
  const options = run.links.map((at) => `<option value="${escapeHtml(linkId(at))}">${escapeHtml(at.name)}</option>`);
  const link =
    run.links.length < 2
      ? ''
      : `<label class="field">Link<select name="link"><option value="">all links</option>${options.join('')}</select></label>`;
  return `<form id="filters" role="search" aria-label="Filter results">
<label class="field">Workload<input type="search" name="workload" autocomplete="off" placeholder="part of a name"></label>
${link}
${pills('category', 'Category', [...new Set(run.categories.values())].sort())}
${pills('mode', 'Mode', run.modes)}
<button type="reset" class="plain">Show all</button>
</form>`;
}

function figure(name: string): string {
  return `<figure data-chart="${name}" hidden><figcaption><h3></h3><p></p></figcaption><div class="picture" role="img" tabindex="0"></div></figure>`;
}
