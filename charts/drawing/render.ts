import { createRequire } from 'node:module';
import { Resvg } from '@resvg/resvg-js';
import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { Chart } from './chart.ts';
import { fontFamily, framePadding, frameWidth, type Theme } from './theme.ts';

const require = createRequire(import.meta.url);
/** The project brings its font: hosted runners have none. */
const fontFiles = ['400Regular', '600SemiBold', '700Bold'].map((weight) =>
  require.resolve(`@expo-google-fonts/inter/${weight}/Inter_${weight}.ttf`),
);
const scale = 2;
const titleHeight = 58;
const captionHeight = 30;
const lineHeight = 17;
/** Characters of a subtitle that fit beside one another. */
const maxLine = 122;

/** A complete SVG document: title, chart and caption on the theme's own background, so that it is legible on any page. */
export async function renderSvg(chart: Chart, { paper, ink, quietInk }: Theme): Promise<string> {
  const inner = await renderSpec(chart.spec);
  const width = Math.max(frameWidth, inner.width + 2 * framePadding);
  const subtitle = wrap(chart.subtitle);
  const top = titleHeight + (subtitle.length - 1) * lineHeight;
  const height = framePadding + top + inner.height + captionHeight + framePadding;
  const text = (y: number, size: number, weight: number, fill: string, content: string) =>
    `<text x="${framePadding}" y="${y}" font-size="${size}" font-weight="${weight}" fill="${fill}">${escapeXml(content)}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"`,
    ` width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family='${fontFamily}'>`,
    `<title>${escapeXml(chart.title)}</title><desc>${escapeXml(chart.description)}</desc>`,
    `<rect width="${width}" height="${height}" rx="8" fill="${paper}"/>`,
    text(framePadding + 14, 19, 700, ink, chart.title),
    ...subtitle.map((line, index) => text(framePadding + 37 + index * lineHeight, 12.5, 400, quietInk, line)),
    `<text x="${width - framePadding}" y="${framePadding + 14}" font-size="11.5" fill="${quietInk}" text-anchor="end">`,
    `${escapeXml(chart.origin)}</text>`,
    `<g transform="translate(${framePadding},${framePadding + top})">`,
    prefixIds(inner.svg, chart.name),
    '</g>',
    text(height - framePadding, 11.5, 400, quietInk, chart.caption),
    '</svg>\n',
  ].join('');
}

/** The SVG at twice its size, in the project's font. */
export function renderPng(svg: string, { paper }: Theme): Buffer {
  const resvg = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: { fontFiles, loadSystemFonts: false, defaultFontFamily: 'Inter', sansSerifFamily: 'Inter' },
    background: paper,
  });
  return resvg.render().asPng();
}

/** Lines that end between two remarks. */
function wrap(text: string): string[] {
  const lines = [''];
  for (const remark of text.split(/(?<=[;,]) /)) {
    const longer = `${lines.at(-1)} ${remark}`.trimStart();
    if (longer.length <= maxLine) lines[lines.length - 1] = longer;
    else lines.push(remark);
  }
  return lines;
}

async function renderSpec(spec: TopLevelSpec): Promise<{ svg: string; width: number; height: number }> {
  measureLikeInter();
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none', logLevel: vega.Error });
  try {
    const svg = await view.toSVG();
    const size = /width="([\d.]+)" height="([\d.]+)"/.exec(svg);
    return { svg, width: Math.ceil(Number(size?.[1])), height: Math.ceil(Number(size?.[2])) };
  } finally {
    view.finalize();
  }
}

/** Without a canvas Vega assumes 0.8 em per character, which spaces legends too widely. Inter's mean is 0.56. */
function measureLikeInter(): void {
  const { textMetrics } = vega as unknown as { textMetrics: { width: (item: TextItem, text: unknown) => number } };
  textMetrics.width = ({ fontSize = 11, limit }, text) => {
    const width = String(text ?? '').length * 0.56 * fontSize;
    // Vega cuts longer texts at their limit.
    return limit !== undefined && limit > 0 ? Math.min(limit, width) : width;
  };
}

interface TextItem {
  readonly fontSize?: number;
  readonly limit?: number;
}

/** Pictures may share one HTML page, so their ids must differ. */
function prefixIds(svg: string, prefix: string): string {
  return svg
    .replaceAll(/\bid="([^"]+)"/g, `id="${prefix}-$1"`)
    .replaceAll(/url\(#([^)]+)\)/g, `url(#${prefix}-$1)`)
    .replaceAll(/xlink:href="#([^"]+)"/g, `xlink:href="#${prefix}-$1"`);
}

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
