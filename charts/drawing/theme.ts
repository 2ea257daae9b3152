import type { Config } from 'vega-lite';

/** What the legend of a timeline says of requests. */
export const requestNames = [
  ...(['manifest', 'TOC', 'prefetch', 'demand', 'background', 'range', 'whole layer'] as const),
] as const;
export type RequestName = (typeof requestNames)[number];

/** The look of all charts, on light and on dark pages. */
export interface Theme {
  readonly name: 'light' | 'dark';
  readonly paper: string;
  readonly ink: string;
  readonly quietInk: string;
  readonly grid: string;
  readonly accent: string;
  readonly bad: string;
  /** What a cell of a heat map becomes as it gets worse. */
  readonly heat: string;
  /**
   * Phases differ in lightness as well as in hue (dark blue, amber, light blue), so they can be told apart with any colour blindness
   * and in greyscale.
   */
  readonly phaseColors: Readonly<Record<'pull' | 'create' | 'run', string>>;
  /** What a request over time was for. They stand near phases, and are none of their colours. */
  readonly requestColors: Readonly<Record<RequestName, string>>;
  /** After Okabe and Ito's palette. */
  readonly modeColors: Readonly<Record<string, string>>;
  readonly spareColors: readonly string[];
}

export const light: Theme = {
  name: 'light',
  paper: '#ffffff',
  ink: '#1f2328',
  quietInk: '#59636e',
  grid: '#e6e9ed',
  accent: '#00649c',
  bad: '#b3261e',
  heat: '#f0a35c',
  phaseColors: { pull: '#1f4e79', create: '#f0a830', run: '#8fc1e3' },
  requestColors: {
    manifest: '#9aa1ab',
    TOC: '#aa4499',
    prefetch: '#009e73',
    demand: '#d55e00',
    background: '#b8a800',
    range: '#6f5bb0',
    'whole layer': '#4d555f',
  },
  modeColors: {
    legacy: '#8a8f98',
    stargz: '#e69f00',
    estargz: '#0072b2',
    'estargz-noopt': '#56b4e9',
    'estargz-fuse': '#1b4965',
    zstdchunked: '#009e73',
    erofs: '#d55e00',
    docker: '#4d4d4d',
  },
  spareColors: [...['#cc79a7', '#332288', '#999933', '#882255', '#44aa99', '#aa4499', '#b8a800', '#117733', '#661100']],
};

export const dark: Theme = {
  name: 'dark',
  paper: '#0d1117',
  ink: '#f0f6fc',
  quietInk: '#9aa4af',
  grid: '#262c34',
  accent: '#58b4f0',
  bad: '#ff8a80',
  heat: '#7a4310',
  phaseColors: { pull: '#3577b3', create: '#f0a830', run: '#b5d9f2' },
  requestColors: {
    manifest: '#7d8590',
    TOC: '#d288d2',
    prefetch: '#2bbf94',
    demand: '#f07f3c',
    background: '#c8c860',
    range: '#a79cf0',
    'whole layer': '#c9ced6',
  },
  modeColors: {
    legacy: '#8f96a0',
    stargz: '#f0b429',
    estargz: '#3fa2e6',
    'estargz-noopt': '#9bd5f7',
    'estargz-fuse': '#7288d8',
    zstdchunked: '#2bbf94',
    erofs: '#f07f3c',
    docker: '#c9ced6',
  },
  spareColors: [...['#e29cc2', '#a79cf0', '#c8c860', '#d9719a', '#6fd3c4', '#d288d2', '#e6da6e', '#63b97e', '#d98a72']],
};

export const themes: readonly Theme[] = [light, dark];

/** The file of a picture, without extension: `phases`, `phases-dark`. */
export function pictureName(chart: string, { name }: Theme): string {
  return name === 'light' ? chart : `${chart}-${name}`;
}

export const fontFamily = 'Inter, system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif';

/** Width of a chart with its frame, in CSS pixels: what a README shows, so that text keeps its size there. */
export const frameWidth = 830;
export const framePadding = 24;
/** Between the frame's paddings. */
export const roomWidth = frameWidth - 2 * framePadding;

/** Modes with a colour of their own, in the order in which charts show them. */
export const knownModes: readonly string[] = Object.keys(light.modeColors);

export function colorsOf(modes: readonly string[], theme: Theme): string[] {
  const { modeColors, spareColors } = theme;
  const spare = modes.filter((mode) => modeColors[mode] === undefined);
  return modes.map((mode) => modeColors[mode] ?? spareColors[spare.indexOf(mode) % spareColors.length]!);
}

/** The colour of a mark by its mode. The legend has as many columns as its names leave room for. */
export function colorByMode(modes: readonly string[], theme: Theme, legend: 'legend' | 'no legend' = 'legend') {
  const columns = Math.max(1, Math.min(modes.length, Math.floor(roomWidth / (textWidth(longest(modes)) + 40))));
  return {
    field: 'mode',
    type: 'nominal' as const,
    scale: { domain: [...modes], range: colorsOf(modes, theme) },
    legend:
      legend === 'no legend'
        ? null
        : {
            ...{ title: null, orient: 'top' as const, direction: 'horizontal' as const, symbolType: 'circle' },
            ...{ symbolOpacity: 1, symbolStrokeWidth: 0, offset: 10, columns, labelLimit: 260 },
          },
  };
}

/** Of 12 px text in Inter, about. */
export function textWidth(text: string): number {
  return text.length * 6.8;
}

/** Of an axis whose labels are these names; longer ones than its limit are cut by it. */
export function labelWidth(names: readonly string[], limit = maxLabel): number {
  return Math.min(limit, textWidth(longest(names))) + 12;
}

/** Pixels of a name on an axis. */
export const maxLabel = 200;

export function longest(names: readonly string[]): string {
  return names.reduce((one, other) => (other.length > one.length ? other : one), '');
}

/** Labels of a logarithmic axis: these multiples of each power of ten. */
export function logTicks(steps: readonly number[]): number[] {
  return [-3, -2, -1, 0, 1, 2, 3, 4, 5].flatMap((decade) => steps.map((step) => Number(`${step}e${decade}`)));
}

/** Labels of a logarithmic axis over these values: the less they span, the closer. */
export function ticksOver(values: readonly number[]): number[] {
  const span = Math.max(...values) / Math.min(...values);
  return logTicks(span < 8 ? [1, 1.5, 2, 3, 4, 5, 7] : span < 200 ? [1, 2, 5] : [1]);
}

/** A number as it is: 20, not 2e+1, whatever the distance of the ticks. */
export const plainNumbers = "format(datum.value, '~g')";

export function configOf(theme: Theme): Config {
  const { ink, quietInk, grid } = theme;
  return {
    font: fontFamily,
    background: 'transparent',
    // The picture as a whole has a description; its hundreds of marks would only be noise to a screen reader.
    aria: false,
    // Otherwise the descenders of the last axis label are cut off.
    padding: { left: 4, top: 2, right: 2, bottom: 6 },
    view: { stroke: null },
    axis: {
      ...{ labelColor: quietInk, labelFontSize: 12, titleColor: quietInk, titleFontSize: 12 },
      ...{ titleFontWeight: 'normal', gridColor: grid, domain: false, tickColor: grid, labelPadding: 6 },
      labelFlush: false,
    },
    header: { labelFontSize: 13, labelFontWeight: 600, labelColor: ink, title: null },
    legend: {
      ...{ labelFontSize: 12, labelColor: ink, titleColor: quietInk, titleFontSize: 12, titleFontWeight: 'normal' },
    },
    text: { font: fontFamily, color: ink },
    title: { color: ink, fontSize: 13, fontWeight: 600, anchor: 'start', frame: 'group', offset: 10 },
  };
}
