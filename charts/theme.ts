import type { Config } from 'vega-lite';

/** The look of all charts. */

export const fontFamily = 'Inter, system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif';
export const ink = '#1f2328';
export const quietInk = '#59636e';
const grid = '#e6e9ed';

/** Width of a chart with its frame, in CSS pixels: about what a README shows. */
export const frameWidth = 920;
export const framePadding = 28;

/**
 * Known modes are drawn in this order. Phases differ in lightness as well as in hue (dark blue, amber, light blue), so they can be told apart with any colour
 * blindness and in greyscale. Modes have colours of Okabe and Ito's palette.
 */
export const phaseColors = { pull: '#1f4e79', create: '#f0a830', run: '#8fc1e3' } as const;
export const modeColors: Readonly<Record<string, string>> = {
  legacy: '#8a8f98',
  stargz: '#e69f00',
  estargz: '#0072b2',
  'estargz-noopt': '#56b4e9',
  'estargz-fuse': '#1b4965',
  zstdchunked: '#009e73',
  erofs: '#d55e00',
  docker: '#4d4d4d',
};
const spareColors = ['#cc79a7', '#332288', '#999933', '#882255', '#44aa99', '#aa4499', '#ddcc77', '#117733', '#661100'];

export function colorsOf(modes: readonly string[]): string[] {
  const spare = modes.filter((mode) => modeColors[mode] === undefined);
  return modes.map((mode) => modeColors[mode] ?? spareColors[spare.indexOf(mode) % spareColors.length]!);
}

/** The colour of a mark by its mode, with a legend of as many columns as its names leave room for. */
export function colorByMode(modes: readonly string[]) {
  const nameWidth = Math.max(...modes.map((mode) => mode.length)) * characterWidth + 40;
  const columns = Math.min(modes.length, Math.floor((frameWidth - 2 * framePadding) / nameWidth));
  return {
    field: 'mode',
    type: 'nominal' as const,
    scale: { domain: [...modes], range: colorsOf(modes) },
    legend: {
      title: null,
      orient: 'top' as const,
      direction: 'horizontal' as const,
      symbolType: 'circle',
      offset: 14,
      columns,
      labelLimit: 260,
    },
  };
}

/** Of a letter of a label, about. */
const characterWidth = 6.8;

/** Names below bars stand upright where the bars are as wide as they, else aslant. */
export function labelsBelow(names: readonly string[], bandWidth: number) {
  const fits = Math.max(...names.map((name) => name.length)) * characterWidth <= bandWidth;
  return fits
    ? ({ labelAngle: 0 } as const)
    : ({
        labelAngle: -40,
        labelAlign: 'right',
        labelBaseline: 'middle',
        labelLimit: 180,
        labelOverlap: false,
      } as const);
}

/** Labels of a logarithmic axis: these multiples of each power of ten. */
export function logTicks(steps: readonly number[]): number[] {
  return [-3, -2, -1, 0, 1, 2, 3, 4].flatMap((decade) => steps.map((step) => step * 10 ** decade));
}

export const config: Config = {
  font: fontFamily,
  background: 'transparent',
  // Otherwise the descenders of the last axis label are cut off.
  padding: { left: 0, top: 2, right: 2, bottom: 6 },
  view: { stroke: null },
  axis: {
    labelColor: quietInk,
    labelFontSize: 12,
    titleColor: quietInk,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    gridColor: grid,
    domain: false,
    tickColor: grid,
    labelPadding: 6,
  },
  header: { labelFontSize: 14, labelFontWeight: 600, labelColor: ink, title: null },
  legend: { labelFontSize: 12, labelColor: ink, titleColor: quietInk, titleFontSize: 12, titleFontWeight: 'normal' },
  text: { font: fontFamily },
  title: { color: ink, fontSize: 13, fontWeight: 600, anchor: 'start', frame: 'group', offset: 10 },
};
