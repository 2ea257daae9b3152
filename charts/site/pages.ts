import { describeCommit } from '../../measurements/format.ts';
import { definitionList, escapeHtml } from '../report/html.ts';
import { page } from '../report/report.ts';
import { describeRun, rankModes } from '../report/words.ts';
import { referenceLink } from '../run/run.ts';
import type { PublishedRun, PublishedRuns } from './published-runs.ts';
import type { Trend } from './trend.ts';

/** The first page: what the newest run of `bench` found, the trend, all runs, and how to measure it again. */
export function indexPage({ runs, faults }: PublishedRuns, trend: Trend | undefined): string {
  const measured = runs.filter(({ run }) => run !== undefined);
  // One that compares with legacy, if there is any: that is what people come for.
  const newest = measured.find(({ run }) => rankModes(referenceLink(run!.links)).length > 0) ?? measured[0];
  const words = newest?.run && describeRun(newest.run);
  return site({
    title: 'stargz-bench: does lazy pulling pay?',
    up: '',
    body: `<h1>${escapeHtml(words?.title ?? 'No run of bench is published yet')}</h1>
${newest === undefined ? '' : `<p class="lede">${escapeHtml(words!.lede.join(' '))} <a href="${newest.address}/report.html">Its report</a>.</p>${picture(`${newest.address}/phases`, 'From pull to ready, per workload and mode')}`}
<h2>Trend</h2>
${trend === undefined ? '<p>A trend needs clean runs of two commits over one link.</p>' : `${picture('trend', 'Time relative to legacy over the commits')}${changesTable(trend)}`}
<h2>Published runs, newest first</h2>
${runsTable(runs)}
${faults.length === 0 ? '' : `<h2>Not shown</h2><ul class="failed">${faults.map((fault) => `<li>${escapeHtml(fault)}</li>`).join('')}</ul>`}
<h2>Measure it yourself</h2>
<p>On Debian or Ubuntu, as root, in a checkout of the project${newest === undefined ? '' : ` (the newest run is of ${escapeHtml(describeCommit(newest.environment))})`}:</p>
${command('npm ci')}
${command(newest?.environment.command ?? 'npm run bench')}`,
  });
}

/** A run of another program than `bench`: its command, its tables, its pictures and its conditions. */
export function programPage(
  { environment }: PublishedRun,
  tables: readonly { readonly name: string; readonly rows: readonly (readonly string[])[] }[],
  pictures: readonly string[],
): string {
  const { program, runId, command: typed } = environment;
  return site({
    title: `${program} ${runId}`,
    up: '../../',
    body: `<h1>${escapeHtml(program)}</h1>
<p class="lede">Run ${escapeHtml(runId)}, ${escapeHtml(environment.startedAt.slice(0, 10))}, ${escapeHtml(describeCommit(environment))}.</p>
${command(typed)}
${pictures.map((name) => picture(name, `${program}: ${name}`)).join('\n')}
${tables.map(({ name, rows }) => `<h2>${escapeHtml(name)}</h2>${table(rows)}`).join('\n')}
<h2>Conditions</h2>
<details><summary>environment.json</summary>${definitionList({ ...environment })}</details>`,
  });
}

export function methodPage(html: string): string {
  return site({ title: 'What a number means', up: '', body: `<article class="method">${html}</article>` });
}

/** The frame of every page; `up` leads to the first. */
function site({ title, up, body }: { readonly title: string; readonly up: string; readonly body: string }): string {
  return page({
    title,
    body: `<header class="wide"><nav aria-label="Site"><a href="${up}index.html">stargz-bench</a> <a href="${up}method.html">What a number means</a></nav></header>
<main class="wide">${body}</main>`,
  });
}

function picture(name: string, alt: string): string {
  return `<figure><picture><source media="(prefers-color-scheme: dark)" srcset="${name}-dark.svg"><img src="${name}.svg" alt="${escapeHtml(alt)}"></picture></figure>`;
}

function changesTable({ changes }: Trend): string {
  if (changes.length === 0) return '<p>No change from one commit to the next is shown.</p>';
  const rows = changes.map(({ workload, mode, commit, before, startedAt, comparison }) => {
    const { ratio, ratioInterval, verdict, adjustedP } = comparison;
    const percent = (value: number) => `${value >= 1 ? '+' : '−'}${Math.abs((value - 1) * 100).toFixed(0)} %`;
    const interval =
      ratioInterval === undefined ? '' : `${percent(ratioInterval.low)} to ${percent(ratioInterval.high)}`;
    return [
      workload,
      mode,
      commit,
      before,
      startedAt.slice(0, 10),
      percent(ratio),
      interval,
      verdict,
      adjustedP.toPrecision(2),
    ];
  });
  return table([
    ['workload', 'mode', 'commit', 'measured before', 'date', 'change', '95 % interval', 'verdict', 'adjusted p'],
    ...rows,
  ]);
}

function runsTable(runs: readonly PublishedRun[]): string {
  const rows = runs.map((published) => {
    const { address, environment, run, limits } = published;
    const link = `<a href="${address}/${run === undefined ? 'index' : 'report'}.html">${escapeHtml(environment.runId)}</a>`;
    const met = limits.filter((one) => one.met).length;
    const held = limits.length === 0 ? '' : `${met} of ${limits.length} limits met`;
    const what = run === undefined ? held : describeRun(run).title;
    const cells = [environment.program, describeCommit(environment), environment.startedAt.slice(0, 10), what];
    return `<tr><th scope="row">${link}</th>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`;
  });
  const heads = ['run', 'program', 'commit', 'date', 'finding'].map((head) => `<th scope="col">${head}</th>`);
  return scroll(
    'Published runs',
    `<table><thead><tr>${heads.join('')}</tr></thead><tbody>${rows.join('\n')}</tbody></table>`,
  );
}

/** The first row is the heading. */
function table([head = [], ...rows]: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[]) => row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('');
  const heads = head.map((cell) => `<th scope="col">${escapeHtml(cell)}</th>`).join('');
  const body = rows.map((row) => `<tr>${cells(row)}</tr>`).join('\n');
  return scroll(head.join(', '), `<table><thead><tr>${heads}</tr></thead><tbody>${body}</tbody></table>`);
}

function scroll(label: string, content: string): string {
  return `<div class="scroll" role="region" aria-label="${escapeHtml(label)}" tabindex="0">${content}</div>`;
}

function command(text: string): string {
  return `<p class="command"><code>${escapeHtml(text)}</code></p>`;
}
