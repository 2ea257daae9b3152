import { readFileSync } from 'node:fs';
import { TocReader } from '../../estargz/toc.ts';
import { buildInodeTable } from '../build.ts';

/**
 * `node measure-toc.ts FILE`, FILE the gzip member of a TOC: builds its table in a process of its own and prints, as JSON,
 * what that took. Memory is the growth of the peak over what the process held before.
 */
const bytes = readFileSync(process.argv[2]!);
const footer = {
  kind: 'estargz',
  compression: 'gzip',
  payloadEnd: 2 ** 40,
  tocOffset: 0,
  tocEnd: bytes.length,
  footerSizeBytes: 51,
} as const;
const before = process.memoryUsage.rss();
const startMs = performance.now();
const startCpu = process.cpuUsage();
const reader = new TocReader(bytes, footer);
const { table } = buildInodeTable(reader, {
  tocOffset: footer.payloadEnd,
  opaqueXattr: 'trusted',
  compression: 'gzip',
});
const digest = reader.digest();
const cpu = process.cpuUsage(startCpu);
console.log(
  JSON.stringify({
    durationMs: Math.round(performance.now() - startMs),
    cpuMs: Math.round((cpu.user + cpu.system) / 1000),
    peakGrowthBytes: process.resourceUsage().maxRSS * 1024 - before,
    jsonBytes: reader.sizeBytes,
    tableBytes: table.shared.byteLength,
    inodeCount: table.inodeCount,
    digest,
  }),
);
