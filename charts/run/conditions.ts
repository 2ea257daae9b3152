import { describeCommit } from '../../measurements/format.ts';
import type { LinkRun, Run } from './run.ts';

/** `30 ms RTT, 200 Mbit/s, n = 3` */
export function describeConditions(at: LinkRun): string {
  return [at.link === undefined ? '' : at.name, describeCounts([at])].filter((part) => part !== '').join(', ');
}

/** `8 links, n = 10` */
export function describeAllLinks(run: Run): string {
  return run.links.length === 1
    ? describeConditions(run.links[0]!)
    : `${run.links.length} links, ${describeCounts(run.links)}`;
}

/** `2026-11-23, commit 7bbf7e6` */
export function describeOrigin({ samples, environment }: Pick<Run, 'samples' | 'environment'>): string {
  const date = samples.map((sample) => sample.startedAt.slice(0, 10)).sort()[0] ?? '';
  return `${date}, ${environment === undefined ? 'commit not recorded' : describeCommit(environment)}`;
}

/** The words that every chart of a run has around it. */
export function describeAround(run: Run) {
  const caption = `Reproduce: npm ci && ${run.environment?.command ?? reproduction(run, run.links)}`;
  return {
    origin: describeOrigin(run),
    caption: caption.length <= maxCaption ? caption : 'Reproduce: the command is in report.html',
  };
}

/** Characters that fit below a chart. */
const maxCaption = 130;

/** The command that measures these links, workloads and modes again. A link that is not recorded is left out. */
export function reproduction(run: Pick<Run, 'workloads' | 'modes'>, links: readonly LinkRun[]): string {
  const known = links.flatMap(({ link }) => link ?? []);
  const rtts = unique(known.map(({ rttMs }) => `${rttMs}ms`));
  const bandwidths = unique(known.map(({ bandwidthMbps }) => bandwidthMbps)).map((rate) =>
    rate === undefined ? 'unlimited' : `${rate}mbit`,
  );
  const link = known.length === 0 ? '' : ` --rtt ${rtts.join(',')} --bandwidth ${bandwidths.join(',')}`;
  const tcp = known[0]?.tcp;
  const model =
    tcp === undefined
      ? ''
      : tcp.lossShare === 0
        ? ' --slow-start'
        : ` --loss ${Number((tcp.lossShare * 100).toPrecision(6))}%`;
  const samples = Math.max(...links.map(({ sampleCounts }) => sampleCounts.max));
  return `npm run bench -- --workloads ${run.workloads.join(',')}${describeModes(run.modes)} --samples ${samples}${link}${model}`;
}

/** The modes where they are not those that a run measures by itself; `estargz/erofs` is estargz. */
function describeModes(modes: readonly string[]): string {
  const names = unique(modes.map((mode) => mode.split('/')[0]!));
  const usual = names.length === defaultModes.length && names.every((name) => defaultModes.includes(name));
  return usual ? '' : ` --modes ${names.join(',')}`;
}

const defaultModes = ['legacy', 'stargz', 'estargz'];

function describeCounts(links: readonly LinkRun[]): string {
  const min = Math.min(...links.map(({ sampleCounts }) => sampleCounts.min));
  const max = Math.max(...links.map(({ sampleCounts }) => sampleCounts.max));
  const samples = links.flatMap((link) => link.samples);
  const failedCount = samples.filter((sample) => !sample.ok).length;
  if (failedCount > 0) return `n = ${max}, ${failedCount} of ${samples.length} cells failed`;
  return min === max ? `n = ${max}` : `n = ${min} to ${max}`;
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
