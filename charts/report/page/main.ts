import { dark, light } from '../../drawing/theme.ts';
import { filterRun, referenceLink } from '../../run/run.ts';
import { type Cell, cellsOf, columnsOf, linkId } from '../cells.ts';
import { type PackedRun, unpackRun } from '../pack.ts';
import { cellRows, headRow } from '../table.ts';
import { describeSelection, selects, sortCells } from './selection.ts';
import { drawerHtml } from './drawer.ts';
import { Pictures } from './pictures.ts';
import { readState, type State, writeState } from './state.ts';

/** The program of a report's page: the state in the address is shown, and what the reader does changes the address. */

const run = unpackRun(JSON.parse(document.querySelector('#run')!.textContent!) as PackedRun);
const cells = cellsOf(run);
const columns = columnsOf(run);
const pictures = new Pictures();
const form = document.querySelector<HTMLFormElement>('#filters')!;
const drawer = document.querySelector<HTMLDialogElement>('#drawer')!;
const systemIsDark = matchMedia('(prefers-color-scheme: dark)');
/** What table and charts show: they are made anew only for another choice, so that the focus stays where it is. */
let tabled = '';
let drawn = '';

addEventListener('hashchange', show);
systemIsDark.addEventListener('change', show);
form.addEventListener('input', () => change(readForm()));
form.addEventListener('reset', () => change({ workload: '', category: [], mode: [], link: '' }));
form.addEventListener('submit', (event) => event.preventDefault());
document
  .querySelector('#theme')!
  .addEventListener('click', () => change({ theme: isDark(state()) ? 'light' : 'dark' }));
document.querySelector('#cells thead')!.addEventListener('click', ({ target }) => {
  const key = (target as HTMLElement).closest<HTMLElement>('[data-sort]')?.dataset.sort;
  if (key !== undefined) sortBy(key);
});
document.querySelector('#cells tbody')!.addEventListener('click', ({ target }) => {
  const cell = (target as HTMLElement).closest<HTMLElement>('[data-cell]')?.dataset.cell;
  if (cell !== undefined) change({ cell });
});
drawer.addEventListener('close', () => change({ cell: '' }));
drawer.addEventListener('click', ({ target }) => {
  const button = (target as HTMLElement).closest('button');
  // A click beside the drawer has the dialog itself for its target.
  if (target === drawer || button?.hasAttribute('data-close')) drawer.close();
  if (button?.hasAttribute('data-copy')) void copy(button);
});
show();
// How long it took from the navigation until the table could be read and used, for whoever measures it.
document.body.dataset.openedMs = performance.now().toFixed(0);

function state(): State {
  return readState(location.hash);
}

function change(changed: Partial<State>): void {
  const hash = writeState({ ...state(), ...changed });
  if (hash === location.hash) return;
  history.replaceState(undefined, '', hash === '' ? location.pathname + location.search : hash);
  show();
}

function show(): void {
  const now = state();
  if (now.theme === 'light' || now.theme === 'dark') document.documentElement.dataset.theme = now.theme;
  else delete document.documentElement.dataset.theme;
  document.querySelector('#theme')!.textContent = isDark(now) ? 'Light theme' : 'Dark theme';
  writeForm(now);
  showTable(now);
  showPictures(now);
  showDrawer(now);
}

function showTable(now: State): void {
  const { workload, category, mode, link, sort } = now;
  const signature = JSON.stringify({ workload, category, mode, link, sort });
  if (signature === tabled) return;
  tabled = signature;
  const descending = sort.startsWith('-');
  const key = sort.replace('-', '');
  const shown = sortCells(
    cells.filter(selects(now)),
    columns.find((column) => column.key === key),
    descending,
  );
  const focused = document.activeElement?.getAttribute('data-sort');
  document.querySelector('#cells thead')!.innerHTML = headRow(columns, key, descending);
  document.querySelector('#cells tbody')!.innerHTML = cellRows(shown, columns);
  document.querySelector('#count')!.textContent = describeSelection(shown, cells.length);
  if (focused) document.querySelector<HTMLElement>(`[data-sort="${focused}"]`)?.focus();
}

function showPictures(now: State): void {
  const { workload, category, mode, link } = now;
  const signature = JSON.stringify({ workload, category, mode, link, dark: isDark(now) });
  if (signature === drawn) return;
  drawn = signature;
  const isShown = selects({ ...now, link: '' });
  const shown = cells.filter(isShown);
  const names = {
    workloads: new Set(shown.map(({ group }) => group.workload)),
    modes: new Set(shown.map(({ group }) => group.mode)),
  };
  const filtered = filterRun(run, {
    workload: (name) => names.workloads.has(name),
    mode: (name) => names.modes.has(name),
  });
  const at = filtered.links.find((one) => linkId(one) === link) ?? referenceLink(filtered.links);
  pictures.show({ run: filtered, at, theme: isDark(now) ? dark : light });
}

function showDrawer(now: State): void {
  const cell = cells.find(({ id }) => id === now.cell);
  if (cell === undefined) {
    if (drawer.open) drawer.close();
    return;
  }
  openDrawer(cell);
}

function openDrawer(cell: Cell): void {
  if (drawer.dataset.shown !== cell.id) drawer.innerHTML = drawerHtml(run, cell);
  drawer.dataset.shown = cell.id;
  if (!drawer.open) drawer.showModal();
}

/** Downwards first where a number is sorted by, since the largest is looked for. */
function sortBy(key: string): void {
  const { sort } = state();
  const isText = columns.find((column) => column.key === key)?.kind === 'text';
  const orders = isText ? [key, `-${key}`, ''] : [`-${key}`, key, ''];
  change({ sort: orders[(orders.indexOf(sort) + 1) % orders.length]! });
}

function readForm(): Partial<State> {
  const data = new FormData(form);
  const list = (name: string) => data.getAll(name).map(String);
  const word = (name: string) => String(data.get(name) ?? '');
  return { workload: word('workload'), link: word('link'), category: list('category'), mode: list('mode') };
}

function writeForm(now: State): void {
  for (const box of form.querySelectorAll<HTMLInputElement>('input[type=checkbox]')) {
    box.checked = now[box.name as 'category' | 'mode'].includes(box.value);
  }
  const search = form.querySelector<HTMLInputElement>('input[type=search]')!;
  if (search.value !== now.workload) search.value = now.workload;
  const link = form.querySelector('select');
  if (link !== null) link.value = now.link;
}

function isDark({ theme }: State): boolean {
  return theme === '' ? systemIsDark.matches : theme === 'dark';
}

async function copy(button: HTMLElement): Promise<void> {
  const code = button.parentElement!.querySelector('code')!;
  // Browsers give no clipboard to pages opened from a file, where selecting is the next best.
  const copied = await navigator.clipboard?.writeText(code.textContent!).then(
    () => true,
    () => false,
  );
  if (copied) button.textContent = 'Copied';
  else getSelection()?.selectAllChildren(code);
}
