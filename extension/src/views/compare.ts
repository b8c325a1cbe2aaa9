// Two timelines side by side; events that only one of them has are marked.
import type { AnyModel } from '@anywidget/types';
import { paint, plain } from './parts/ansi';
import { copyButton, h, number } from './parts/dom';
import { TableView } from './parts/table';
import { widget } from './parts/view';

type Side = [at: number, what: string, text: string] | null;
type Row = [number: number, who: string, a: Side, b: Side];

interface State {
  generation: number;
  count: number;
  differences: number;
  only: boolean;
  a: string;
  b: string;
  first: number;
  start: number;
  rows: Row[];
}

interface Chosen {
  number: number;
  ids: [string, string];
  texts: [string, string];
}

class ComparisonView extends TableView<State, Chosen, Row> {
  private only = h('button', {
    class: 'bpv-button', type: 'button', 'aria-pressed': 'false',
    click: () => this.ask('show', { only: !this.state.only })
  }, 'Only differences');
  private ends = h('span', { class: 'bpv-moment' });

  constructor(model: AnyModel, el: HTMLElement) {
    super(model, el);
    const first = h('button', {
      class: 'bpv-button', type: 'button', click: () => this.toFirst()
    }, 'First difference');
    this.frame('Comparison', [
      h('div', { class: 'bpv-bar' }, first, this.only, h('span', { class: 'bpv-space' }), this.ends),
      this.error,
      this.scroller.el,
      this.detail
    ]);
    this.listen({ state: () => this.show(), chosen: () => this.showChosen() });
    this.show();
    this.showChosen();
  }

  protected table() {
    return {
      label: 'Events of both timelines',
      columns: [
        { title: 'vtime a (s)', name: 'vtime' },
        { title: 'text a', name: 'text' },
        { title: 'container', name: 'container' },
        { title: 'vtime b (s)', name: 'vtime' },
        { title: 'text b', name: 'text' }
      ],
      widths: '12ch minmax(0, 1fr) minmax(0, 18ch) 12ch minmax(0, 1fr)'
    };
  }

  private show(): void {
    const { generation, count, differences, only, a, b, start, rows } = this.state;
    this.error.hidden = true;
    this.only.setAttribute('aria-pressed', String(only));
    this.ends.replaceChildren('a: ', h('code', {}, a), ' b: ', h('code', {}, b));
    this.renew(generation, count, rows, start);
    // The table has no height until it is on the page.
    requestAnimationFrame(() => this.toFirst());
    this.status.textContent = differences
      ? `${number(differences)} event${differences === 1 ? '' : 's'} in only one of them`
      : 'no differences: both have the same events';
  }

  private toFirst(): void {
    if (this.state.first >= 0) this.scroller.mark(this.state.first);
  }

  private showChosen(): void {
    const { ids, texts } = this.chosen;
    this.detail.hidden = !ids;
    if (!ids || !texts) return;
    this.detail.replaceChildren(
      ...ids.flatMap((id, side) => {
        const name = side ? 'b' : 'a';
        if (!id) return [h('div', { class: 'bpv-moment' }, `${name}: this event is missing`)];
        const code = `run.at("${id}")`;
        const text = h('pre');
        paint(text, texts[side]!);
        const copy = copyButton('Copy the moment of this event', () => code);
        return [h('div', { class: 'bpv-moment' }, `${name}: `, h('code', {}, code), copy), text];
      })
    );
  }

  protected choose(item: Row): void {
    this.ask('select', { number: item[0] });
  }

  protected fill(cells: HTMLElement[], item: Row | undefined, row: HTMLElement): void {
    const [timeA, textA, who, timeB, textB] = cells as [
      HTMLElement, HTMLElement, HTMLElement, HTMLElement, HTMLElement
    ];
    if (!item) {
      cells.forEach((cell, i) => (cell.textContent = i === 1 ? '…' : ''));
      return;
    }
    const [, name, a, b] = item;
    who.replaceChildren(h('bdi', {}, plain(name)));
    side(timeA, textA, a);
    side(timeB, textB, b);
    if (!b) row.classList.add('bpv-only-a');
    if (!a) row.classList.add('bpv-only-b');
  }
}

function side(time: HTMLElement, text: HTMLElement, event: Side): void {
  text.title = event ? plain(event[2]) : ''; // the column may be too narrow for the text
  time.textContent = event ? (event[0] / 1e9).toFixed(6) : '';
  if (!event) text.textContent = '';
  else if (/^(out|err)$/.test(event[1])) paint(text, event[2]);
  else text.textContent = plain(`${event[1]} ${event[2]}`);
}

export default widget(ComparisonView);
