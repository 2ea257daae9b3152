import { parse, View, Error as errorLevel } from 'vega';
import { compile } from 'vega-lite';
import { benchCharts } from '../../bench/charts.ts';
import type { Chart } from '../../drawing/chart.ts';
import type { Scene } from '../../run/scene.ts';

/** Draws the charts of what is filtered: those in sight at once, the others when the browser has time, so that printing finds them. */
export class Pictures {
  readonly #figures = [...document.querySelectorAll<HTMLElement>('figure[data-chart]')];
  readonly #stale = new Map<HTMLElement, Chart>();
  readonly #inSight = new Set<Element>();
  #theme = '';
  readonly #observer = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: '300px' });
  #idle = 0;

  constructor() {
    for (const figure of this.#figures) this.#observer.observe(figure);
  }

  show(scene: Scene): void {
    this.#stale.clear();
    this.#theme = scene.theme.name;
    for (const figure of this.#figures) {
      const chart = benchCharts[figure.dataset.chart!]!(scene);
      figure.hidden = chart === undefined;
      if (chart === undefined) continue;
      figure.querySelector('h3')!.textContent = chart.title;
      figure.querySelector('p')!.textContent = chart.subtitle;
      figure
        .querySelector('.picture')!
        .setAttribute('aria-label', `${chart.title}. ${chart.description}`.slice(0, maxDescription));
      this.#stale.set(figure, chart);
    }
    document.body.dataset.drawn = 'false';
    for (const figure of this.#inSight) void this.#draw(figure as HTMLElement);
    this.#drawRest();
  }

  #see(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) this.#inSight.delete(target);
      else {
        this.#inSight.add(target);
        void this.#draw(target as HTMLElement);
      }
    }
  }

  #drawRest(): void {
    cancelIdleCallback(this.#idle);
    const [next] = this.#stale.keys();
    document.body.dataset.drawn = String(next === undefined);
    if (next === undefined) return;
    this.#idle = requestIdleCallback(() => void this.#draw(next).then(() => this.#drawRest()), { timeout: 2000 });
  }

  async #draw(figure: HTMLElement): Promise<void> {
    const chart = this.#stale.get(figure);
    if (chart === undefined) return;
    this.#stale.delete(figure);
    const theme = this.#theme;
    const view = new View(parse(compile(chart.spec).spec), { renderer: 'none', logLevel: errorLevel });
    try {
      const svg = scalable(await view.toSVG());
      figure.querySelector('.picture')!.innerHTML = svg;
      // Nothing is drawn anew for paper, which has no time for it: the style sheet turns dark pictures round.
      figure.dataset.theme = theme;
    } finally {
      view.finalize();
    }
  }
}

/** What screen readers can bear of the numbers of dozens of workloads; the table has them all. */
const maxDescription = 600;

/** Within its role of an image the drawing itself has nothing to say. */
function scalable(svg: string): string {
  return svg.replace('<svg ', '<svg aria-hidden="true" focusable="false" ');
}
