import { escapeHtml } from '../report/html.ts';
import { page } from '../report/report.ts';
import { renderSvg } from '../drawing/render.ts';
import { themes } from '../drawing/theme.ts';
import { describeChanges } from '../run/changes.ts';
import { changesTable } from '../report/changes-table.ts';
import { changesChart } from './changes-chart.ts';
import { type ComparedRuns, describeSides } from './comparison.ts';

/** One HTML file that needs nothing else: what changed between two runs, as a picture and as a table. */
export async function comparisonHtml(compared: ComparedRuns): Promise<string> {
  const { changes, excluded } = compared;
  const left = excluded.map((what) => `<li>${escapeHtml(what)}</li>`);
  return page({
    title: `stargz-bench: ${describeChanges(compared)}`,
    body: `<header class="wide"><h1>${escapeHtml(describeChanges(compared))}</h1>
<p class="lede">${escapeHtml(describeSides(compared).join(' '))}</p></header>
<main class="wide">
${await pictures(compared)}
<h2>Every workload and mode</h2>
${changesTable(changes)}
<p class="note">A change is after / before, the median of all ratios of a sample to another (Hodges and Lehmann), with its 95 % interval. A verdict takes
size and significance together (Mann-Whitney, adjusted for all rows by Holm).</p>
${left.length === 0 ? '' : `<h2>Not compared</h2><ul>${left.join('')}</ul>`}
</main>`,
  });
}

/** As data within the page, one of them shown. */
async function pictures(compared: ComparedRuns): Promise<string> {
  const drawn = await Promise.all(
    themes.map(async (theme) => {
      const chart = changesChart(compared, theme);
      if (chart === undefined) return undefined;
      const svg = Buffer.from(await renderSvg(chart, theme)).toString('base64');
      return { alt: chart.description, source: `data:image/svg+xml;base64,${svg}` };
    }),
  );
  const [light, dark] = drawn;
  if (light === undefined || dark === undefined) return '';
  return `<figure><picture><source media="(prefers-color-scheme: dark)" srcset="${dark.source}"><img src="${light.source}" alt="${escapeHtml(light.alt)}"></picture></figure>`;
}
