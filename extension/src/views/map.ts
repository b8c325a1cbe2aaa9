// The multiverse map: branches as a tree over time, and details of the chosen one.
import type { AnyModel } from '@anywidget/types';
import { plain } from './parts/ansi';
import { copyButton, Earlier, h, number } from './parts/dom';
import { TableView } from './parts/table';
import { Scale, seconds } from './parts/time';
import { paintTree, ROW } from './parts/tree';
import { widget } from './parts/view';

export type Node = [
  kind: string, start: number, end: number, parent: number, depth: number, verdict: string,
  title: string, counts: [failed: number, passed: number, censored: number]
];
type Future = [seed: string, verdict: string, after: string, causes: string, id: string];

interface State {
  failure: string;
  what?: string; // "branch" unless something else is drawn
  count?: number;
  told?: string; // what a line of the table tells
  earlier: boolean;
  more: boolean;
  span: [number, number];
  left_out: number;
  nodes: Node[];
}

interface Chosen {
  generation: number;
  number: number;
  id: string;
  code?: string;
  title: string;
  inputs: [number, string][];
  count: number;
  rows: Future[];
  future: number;
}

const KINDS: Record<string, string> = {
  recording: 'recording', branch: 'held', noted: 'noted', futures: 'curve'
};
const DEEPEST = 12; // levels that are indented
const LEGEND: [string, string, string][] = [
  ['━', 'failed', 'bpv-ink1'],
  ['━', 'passed', 'bpv-ink2'],
  ['━', 'not judged', 'bpv-ink4']
];

class MapView extends TableView<State, Chosen, Future> {
  private canvas = h('canvas', { class: 'bpv-tree' });
  private rows = h('div', { class: 'bpv-nodes', role: 'presentation' });
  private list = h(
    'div',
    { class: 'bpv-map', role: 'listbox', tabindex: 0, 'aria-label': 'Branches' },
    this.canvas,
    this.rows
  );
  private earlier = new Earlier('branches and curves', earlier =>
    this.ask('update', { earlier }));
  private facts = h('div');
  private base = ''; // id of the branch to compare others with

  constructor(model: AnyModel, el: HTMLElement) {
    super(model, el);
    this.scroller.el.style.height = '180px';
    this.detail.append(this.facts, this.scroller.el);
    this.frame(
      'Multiverse map',
      [
        h('div', { class: 'bpv-bar' },
          h('button', {
            class: 'bpv-button', type: 'button', title: 'Also draw branches that were made later',
            click: () => this.ask('update', { earlier: this.state.earlier })
          }, 'Update'),
          this.earlier.el,
          h('span', { class: 'bpv-space' }),
          ...LEGEND.map(([sign, name, colour]) =>
            h('span', { class: 'bpv-legend' }, h('span', { class: colour }, sign), ` ${name}`))),
        this.error,
        this.list,
        this.detail
      ],
      [],
      () => this.draw()
    );
    this.listen({ state: () => this.show(), chosen: () => this.showChosen() });
    this.list.addEventListener('keydown', event => this.pressed(event));
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(this.list);
    this.whenDisposed(() => observer.disconnect());
    this.show();
    this.showChosen();
  }

  protected table() {
    return {
      label: 'Futures',
      columns: [
        { title: 'seed', name: 'seed' },
        { title: 'verdict', name: 'verdict' },
        { title: 'failed after (s)', name: 'length' },
        { title: this.state.told ?? 'what happened before', name: 'text' },
        { title: 'id', name: 'id' }
      ],
      widths: '7ch 8ch 16ch minmax(0, 1fr) 28ch'
    };
  }

  // -- messages of the kernel

  private show(): void {
    this.error.hidden = true;
    const { nodes, left_out, failure, earlier, more } = this.state;
    this.earlier.show(earlier, more);
    this.rows.replaceChildren(
      ...nodes.map((node, index) => {
        const [kind, start, end, , depth, verdict, title] = node;
        const what = this.state.what ?? KINDS[kind] ?? kind;
        const words = `${what}, ${title}, ${verdict || 'not judged'}`;
        const row = h(
          'div',
          { class: 'bpv-node', role: 'option', 'aria-selected': 'false', 'aria-label': plain(words) },
          h('span', { class: 'bpv-title', style: `padding-left:${Math.min(depth, DEEPEST) * 14}px` }, plain(title)),
          h('span', { class: 'bpv-dim' }, `${seconds(start, 1e6)} to ${seconds(end, 1e6)} s`)
        );
        row.addEventListener('click', () => this.ask('select', { number: index }));
        return row;
      })
    );
    const { what = 'branch', count = nodes.length - 1 + left_out } = this.state;
    const undrawn = left_out ? `, ${number(left_out)} of them not drawn` : '';
    this.status.textContent =
      `${number(count)} ${what}${count === 1 ? '' : 'es'}${undrawn} · failure: ${plain(failure)}`;
    this.draw();
  }

  private showChosen(): void {
    const { number: which, generation = -1, id = '', code = '', title = '', inputs = [], count = 0 } = this.chosen;
    const nodes = [...this.rows.children];
    nodes.forEach((row, index) => {
      row.classList.toggle('bpv-chosen', index === which);
      row.setAttribute('aria-selected', String(index === which));
    });
    this.detail.hidden = which === undefined;
    if (which === undefined) return;
    nodes[which]?.scrollIntoView({ block: 'nearest' });
    const at = id ? `run.at("${id}")` : code;
    const compared = this.base && id && this.base !== id
      ? `run.compare("${this.base}", "${id}").explore()`
      : '';
    const compare = h('button', {
      class: 'bpv-button', type: 'button', title: 'Choose another branch to compare this one with',
      'aria-pressed': String(this.base !== '' && this.base === id),
      click: () => {
        this.base = this.base === id ? '' : id;
        this.showChosen();
      }
    }, this.base && this.base === id ? 'Now choose another one' : 'Compare…');
    this.facts.replaceChildren(
      h('div', { class: 'bpv-moment' },
        plain(title),
        at ? h('code', {}, at) : null,
        at ? copyButton('Copy the moment at its end', () => at) : null,
        id ? compare : null),
      compared
        ? h('div', { class: 'bpv-moment' },
            h('code', {}, compared), copyButton('Copy the comparison', () => compared))
        : '',
      inputs.length
        ? h('dl', {}, ...inputs.flatMap(([when, what]) =>
            [h('dt', {}, `${seconds(when, 1e3)} s`), h('dd', {}, plain(what))]))
        : ''
    );
    this.scroller.el.hidden = !count;
    this.renew(generation, count, this.chosen.rows ?? []);
    if ((this.chosen.future ?? -1) >= 0) this.scroller.mark(this.chosen.future!, false);
  }

  // -- actions of the user

  private pressed(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, Home: -1e9, End: 1e9 };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const goal = (this.chosen.number ?? -1) + step;
    const last = this.state.nodes.length - 1;
    this.ask('select', { number: Math.min(Math.max(goal, 0), last) });
  }

  protected choose(_: Future, index: number): void {
    this.ask('future', { number: index });
  }

  // -- drawing

  private draw(): void {
    const { nodes, span } = this.state;
    const width = Math.max(this.list.clientWidth * 0.5, 10);
    this.rows.style.setProperty('--tree', `${width}px`);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${(nodes.length + 1) * ROW}px`;
    paintTree(this.canvas, nodes, new Scale(span[0], span[1], 14, width - 34));
  }

  protected fill(cells: HTMLElement[], item: Future | undefined, row: HTMLElement): void {
    cells.forEach((cell, i) => (cell.textContent = item ? plain(item[i]!) : i ? '' : '…'));
    if (item?.[1] === 'failed') row.classList.add('bpv-bad');
    else if (item?.[1] === 'passed') row.classList.add('bpv-life');
  }
}

export default widget(MapView);
