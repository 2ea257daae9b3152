import { createRequire } from 'node:module';
import { Resvg } from '@resvg/resvg-js';
import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { fontFamily, framePadding, frameWidth, ink, quietInk } from './theme.ts';

export interface Chart {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  readonly subtitle: string;
  /** Date and commit. */
  readonly origin: string;
  readonly caption: string;
  /** The content in words, for screen readers. */
  readonly description: string;
  readonly spec: TopLevelSpec;
}

const require = createRequire(import.meta.url);
/** The project brings its font: hosted runners have none. */
const fontFiles = ['400Regular', '600SemiBold', '700Bold'].map((weight) =>
  require.resolve(`@expo-google-fonts/inter/${weight}/Inter_${weight}.ttf`),
);
const scale = 2;
const titleHeight = 64;
const captionHeight = 34;

/** A complete SVG document: title, chart and caption on a white background, legible on a dark page too. */
export async function renderSvg(chart: Chart): Promise<string> {
  const inner = await renderSpec(chart.spec);
  const width = Math.max(frameWidth, inner.width + 2 * framePadding);
  const height = framePadding + titleHeight + inner.height + captionHeight + framePadding;
  const text = (y: number, size: number, weight: number, fill: string, content: string) =>
    `<text x="${framePadding}" y="${y}" font-size="${size}" font-weight="${weight}" fill="${fill}">${escapeXml(content)}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"`,
    ` width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family='${fontFamily}'>`,
    `<title>${escapeXml(chart.title)}</title><desc>${escapeXml(chart.description)}</desc>`,
    `<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>`,
    text(framePadding + 16, 20, 700, ink, chart.title),
    text(framePadding + 40, 13, 400, quietInk, chart.subtitle),
    `<text x="${width - framePadding}" y="${framePadding + 16}" font-size="11.5" fill="${quietInk}" text-anchor="end">`,
    `${escapeXml(chart.origin)}</text>`,
    `<g transform="translate(${framePadding},${framePadding + titleHeight})">`,
    prefixIds(inner.svg, chart.name),
    '</g>',
    text(height - framePadding, 11.5, 400, quietInk, chart.caption),
    '</svg>\n',
  ].join('');
}

/** The SVG at twice its size, in the project's font. */
export function renderPng(svg: string): Buffer {
  const resvg = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: { fontFiles, loadSystemFonts: false, defaultFontFamily: 'Inter', sansSerifFamily: 'Inter' },
    background: '#ffffff',
  });
  return resvg.render().asPng();
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
  textMetrics.width = (item, text) => String(text ?? '').length * 0.56 * (item.fontSize ?? 11);
}

interface TextItem {
  readonly fontSize?: number;
}

/** Charts share one HTML page, so their ids must differ. */
function prefixIds(svg: string, prefix: string): string {
  return svg
    .replaceAll(/\bid="([^"]+)"/g, `id="${prefix}-$1"`)
    .replaceAll(/url\(#([^)]+)\)/g, `url(#${prefix}-$1)`)
    .replaceAll(/xlink:href="#([^"]+)"/g, `xlink:href="#${prefix}-$1"`);
}

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
