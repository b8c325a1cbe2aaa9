// Two timelines side by side: what only one of them has stands out.
import type { AnyModel } from '@anywidget/types';
import { paint, plain } from './parts/ansi';
import { Asking } from './parts/asking';
import { copyButton, frame, h, number } from './parts/dom';
import { Scroller } from './parts/scroller';

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

type Answer =
  | { answer: 'rows'; generation: number; start: number; rows: Row[] }
  | { answer: 'error'; text: string }
  | { answer: 'done' };

class ComparisonView {
  private generation = -1;
  private asking: Asking;
  private scroller: Scroller<Row>;
  private detail = h('div', { class: 'bpv-detail', hidden: true });
  private status = h('span', { role: 'status' });
  private busy = h('span', { hidden: true }, '· the kernel is busy, this waits for it');
  private only = h('button', {
    class: 'bpv-button', type: 'button', 'aria-pressed': 'false',
    click: () => this.asking.ask('show', { only: !this.state.only })
  }, 'Only differences');
  private ends = h('span', { class: 'bpv-moment' });
  readonly dispose: () => void;

  constructor(
    private model: AnyModel,
    el: HTMLElement
  ) {
    this.asking = new Asking(model, busy => (this.busy.hidden = !busy));
    this.scroller = new Scroller<Row>({
      label: 'Events of both timelines',
      rowHeight: 20,
      columns: [
        { title: 'a: vtime (s)', name: 'vtime' },
        { title: 'a', name: 'text' },
        { title: 'who', name: 'container' },
        { title: 'b: vtime (s)', name: 'vtime' },
        { title: 'b', name: 'text' }
      ],
      fill: (cells, item, row) => this.fill(cells, item, row),
      ask: (start, count) =>
        this.asking.ask('rows', { generation: this.generation, start, count }),
      choose: item => this.asking.ask('select', { number: item[0] })
    });
    this.scroller.el.style.setProperty(
      '--columns', '12ch minmax(0, 1fr) minmax(0, 28ch) 12ch minmax(0, 1fr)'
    );
    const first = h('button', {
      class: 'bpv-button', type: 'button', click: () => this.toFirst()
    }, 'First difference');
    const unframe = frame(el, 'Comparison', [
      h('div', { class: 'bpv-bar' }, first, this.only, h('span', { class: 'bpv-space' }), this.ends),
      this.scroller.el,
      this.detail,
      h('div', { class: 'bpv-bar bpv-foot' }, this.status, this.busy)
    ]);
    const onState = () => this.show();
    const onChosen = () => this.showChosen();
    const onMessage = (answer: Answer) => this.answered(answer);
    model.on('change:state', onState);
    model.on('change:chosen', onChosen);
    model.on('msg:custom', onMessage);
    this.show();
    this.showChosen();
    this.dispose = () => {
      model.off('change:state', onState);
      model.off('change:chosen', onChosen);
      model.off('msg:custom', onMessage);
      this.scroller.dispose();
      unframe();
    };
  }

  private get state(): State {
    return this.model.get('state') as State;
  }

  private show(): void {
    this.asking.answered();
    const { generation, count, differences, only, a, b, start, rows } = this.state;
    this.generation = generation;
    this.only.setAttribute('aria-pressed', String(only));
    this.ends.replaceChildren('a: ', h('code', {}, a), ' b: ', h('code', {}, b));
    this.scroller.reset(count, rows, start);
    // The table has no height before it is on the page.
    requestAnimationFrame(() => this.toFirst());
    this.status.textContent = differences
      ? `${number(differences)} event${differences === 1 ? '' : 's'} in only one of them`
      : 'no event that only one of them has';
  }

  private toFirst(): void {
    if (this.state.first >= 0) this.scroller.mark(this.state.first);
  }

  private showChosen(): void {
    this.asking.answered();
    const { ids, texts } = this.model.get('chosen') as Partial<Chosen>;
    this.detail.hidden = !ids;
    if (!ids || !texts) return;
    this.detail.replaceChildren(
      ...ids.flatMap((id, side) => {
        const name = side ? 'b' : 'a';
        if (!id) return [h('div', { class: 'bpv-moment' }, `${name}: not there`)];
        const code = `run.at("${id}")`;
        const text = h('pre');
        paint(text, texts[side]!);
        const copy = copyButton('Copy the moment of this event', () => code);
        return [h('div', { class: 'bpv-moment' }, `${name}: `, h('code', {}, code), copy), text];
      })
    );
  }

  private answered(answer: Answer): void {
    this.asking.answered();
    if (answer.answer === 'rows' && answer.generation === this.generation) {
      this.scroller.put(answer.start, answer.rows);
    } else if (answer.answer === 'error') {
      this.status.textContent = answer.text;
    }
  }

  private fill(cells: HTMLElement[], item: Row | undefined, row: HTMLElement): void {
    const [timeA, textA, who, timeB, textB] = cells as [
      HTMLElement, HTMLElement, HTMLElement, HTMLElement, HTMLElement
    ];
    if (!item) {
      cells.forEach((cell, i) => (cell.textContent = i === 1 ? '…' : ''));
      return;
    }
    const [, name, a, b] = item;
    who.textContent = plain(name);
    side(timeA, textA, a);
    side(timeB, textB, b);
    if (!b) row.classList.add('bpv-only-a');
    if (!a) row.classList.add('bpv-only-b');
  }
}

function side(time: HTMLElement, text: HTMLElement, event: Side): void {
  time.textContent = event ? (event[0] / 1e9).toFixed(6) : '';
  if (!event) text.textContent = '';
  else if (/^(out|err)$/.test(event[1])) paint(text, event[2]);
  else text.textContent = plain(`${event[1]} ${event[2]}`);
}

export default {
  render({ model, el }: { model: AnyModel; el: HTMLElement }): () => void {
    return new ComparisonView(model, el).dispose;
  }
};
