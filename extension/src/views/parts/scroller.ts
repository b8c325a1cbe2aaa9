// A table of any length: only visible rows are drawn, and missing rows are requested.
import { h } from './dom';

const TALLEST = 15_000_000; // px; browsers cut off higher elements
const ASKED = 500; // rows in one request
const AHEAD = 250; // rows to fetch beyond the visible ones
const KEPT = 40_000; // most rows to keep
const HIGH = 20; // px of a row
const RETRY = 100; // ms until a table without height is measured again
const RETRIES = 20;

export interface Column {
  title: string;
  name: string;
}

export interface Options<T> {
  label: string;
  columns: Column[];
  /** Widths of the columns, as in CSS grids; if missing, they are set later. */
  widths?: string;
  /** Fill the cells of a row; `item` is undefined while it is being fetched. */
  fill(cells: HTMLElement[], item: T | undefined, row: HTMLElement): void;
  /** Request some rows; the answer comes by `put`. */
  ask(start: number, count: number): void;
  /** A row was chosen, by click or key. */
  choose(item: T, index: number): void;
  /** The user scrolled; the argument tells whether the last row is visible. */
  moved?(atEnd: boolean): void;
}

interface Line {
  el: HTMLElement;
  cells: HTMLElement[];
  index: number;
  version: number;
}

export class Scroller<T> {
  readonly el: HTMLElement;
  private spacer: HTMLElement;
  private layer: HTMLElement;
  private head: HTMLElement;
  private lines: Line[] = [];
  private items = new Map<number, T>();
  private count = 0;
  private version = 0;
  private chosen = -1;
  private pending = false; // the chosen row was requested and has not come yet
  private waiting = false;
  private scheduled = false;
  private retries = 0;
  private exact: number | null = null; // px; the position, if the scroll bar is too coarse for it
  private later: (() => void) | null = null; // to do when the table is on the page with a height
  private observer: ResizeObserver;

  constructor(private options: Options<T>) {
    const cells = options.columns.map(column =>
      h('div', { role: 'columnheader', class: `bpv-${column.name}` }, column.title)
    );
    this.head = h('div', { class: 'bpv-row bpv-head', role: 'row', 'aria-rowindex': 1 }, ...cells);
    this.layer = h('div', { class: 'bpv-layer', role: 'presentation' });
    this.spacer = h('div', { class: 'bpv-spacer', role: 'presentation' }, this.layer);
    this.el = h(
      'div',
      { class: 'bpv-table', role: 'grid', tabindex: 0, 'aria-label': options.label },
      this.head,
      this.spacer
    );
    this.el.style.setProperty('--bpv-row', `${HIGH}px`);
    if (options.widths) this.el.style.setProperty('--columns', options.widths);
    this.el.addEventListener('scroll', () => this.scrolled(), { passive: true });
    this.el.addEventListener('wheel', event => this.wheeled(event), { passive: false });
    this.el.addEventListener('keydown', event => this.pressed(event));
    this.el.addEventListener('click', event => this.clicked(event));
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.el);
  }

  dispose(): void {
    this.observer.disconnect();
  }

  /** Show other rows, from the top or, with `stays`, at the current position. */
  reset(count: number, first: T[] = [], start = 0, stays = false): void {
    this.items.clear();
    this.version++;
    this.waiting = false;
    this.chosen = -1;
    first.forEach((item, i) => this.items.set(start + i, item));
    if (!stays) {
      this.exact = null;
      this.el.scrollTop = 0;
    }
    this.resize(count);
  }

  /** The number of rows has changed; rows that are known stay the same. */
  resize(count: number): void {
    this.count = count;
    this.el.setAttribute('aria-rowcount', String(count + 1));
    this.resized();
  }

  /** Take rows, which were requested or came without a request. */
  put(start: number, items: T[], asked = true): void {
    if (asked) this.waiting = false;
    if (this.items.size > KEPT) {
      const [first, last] = this.span();
      for (const index of this.items.keys()) {
        if (index < first - KEPT / 4 || index > last + KEPT / 4) this.items.delete(index);
      }
    }
    items.forEach((item, i) => {
      const old = this.items.get(start + i);
      if (old && JSON.stringify(old) !== JSON.stringify(item)) this.version++; // a fold has grown
      this.items.set(start + i, item);
    });
    if (this.pending && this.items.has(this.chosen)) this.select(this.chosen);
    this.schedule();
  }

  /** Mark a row and scroll to it. */
  mark(index: number, reveal = true): void {
    this.chosen = index;
    this.pending = false;
    this.version++;
    if (reveal && index >= 0) this.reveal(index);
    this.schedule();
  }

  /** Scroll to a row; one that is far away comes to the middle. */
  reveal(index: number): void {
    if (!this.view) {
      this.later = () => this.reveal(index);
      return;
    }
    const [first, last] = this.span();
    if (index > first && index < last - 1) return;
    const middle = (index - (last - first) / 2 + 0.5) * HIGH;
    const near = index <= first ? index : index + 2 - (last - first);
    const isNear = Math.abs(index - (index <= first ? first : last)) < 3;
    this.go(isNear ? near * HIGH : middle);
  }

  toEnd(): void {
    if (this.view) this.go(this.count * HIGH);
    else this.later = () => this.toEnd();
  }

  get atEnd(): boolean {
    return this.offset() >= this.furthest() - HIGH;
  }

  // -- geometry, in px of a table as high as all its rows

  private get view(): number {
    return Math.max(this.el.clientHeight - this.head.offsetHeight, 0);
  }

  private furthest(): number {
    return Math.max(this.count * HIGH - this.view, 0);
  }

  /** How many px of the table one px of the scroll bar stands for. */
  private scale(): number {
    const high = this.count * HIGH;
    return high <= TALLEST ? 1 : (high - this.view) / (TALLEST - this.view);
  }

  private offset(): number {
    return Math.min(this.exact ?? this.el.scrollTop * this.scale(), this.furthest());
  }

  private span(): [number, number] {
    const first = Math.floor(this.offset() / HIGH);
    return [first, Math.min(first + Math.ceil(this.view / HIGH) + 1, this.count)];
  }

  private go(px: number): void {
    const target = Math.min(Math.max(px, 0), this.furthest());
    const scale = this.scale();
    this.exact = scale > 1 ? target : null;
    this.el.scrollTop = target / scale;
    this.schedule();
  }

  private resized(): void {
    const height = Math.min(this.count * HIGH, TALLEST);
    this.spacer.style.height = `${height}px`;
    this.layer.style.height = `${Math.min(this.view, height)}px`;
    const { later } = this;
    if (later && this.view) {
      this.later = null;
      later();
    }
    this.schedule();
  }

  // -- actions of the user

  private scrolled(): void {
    if (this.exact !== null && Math.abs(this.exact / this.scale() - this.el.scrollTop) > 1) {
      this.exact = null; // the user moved the scroll bar
    }
    this.options.moved?.(this.atEnd);
    this.schedule();
  }

  private wheeled(event: WheelEvent): void {
    if (this.scale() === 1 || event.ctrlKey || event.deltaMode !== 0) return;
    const before = this.offset();
    this.go(before + event.deltaY);
    if (this.offset() !== before) event.preventDefault();
  }

  private pressed(event: KeyboardEvent): void {
    if (event.target !== this.el || event.ctrlKey || event.metaKey || event.altKey) return;
    const [first, last] = this.span();
    const page = Math.max(last - first - 3, 1);
    const at = this.chosen < 0 ? first - 1 : this.chosen;
    const goals: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: this.count - 1
    };
    const goal = goals[event.key];
    if (goal === undefined || !this.count) return;
    event.preventDefault();
    this.select(Math.min(Math.max(goal, 0), this.count - 1));
  }

  private clicked(event: MouseEvent): void {
    const el = (event.target as Element).closest('.bpv-line');
    const line = this.lines.find(each => each.el === el);
    if (line && line.index >= 0) this.select(line.index);
  }

  private select(index: number): void {
    this.mark(index);
    const item = this.items.get(index);
    this.pending = item === undefined;
    if (item !== undefined) this.options.choose(item, index);
  }

  // -- drawing

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw();
    });
  }

  private draw(): void {
    // While JupyterLab changes its theme there is no height, for too short a time for the observer.
    if (this.view === 0 && this.lines.length && this.retries < RETRIES) {
      this.retries++;
      setTimeout(() => this.schedule(), RETRY);
      return;
    }
    this.retries = 0;
    const [first, last] = this.span();
    const wanted = last - first + 1;
    while (this.lines.length < wanted) this.lines.push(this.line());
    const total = this.lines.length;
    const shift = this.offset();
    for (let i = 0; i < total; i++) {
      // Each index has its own line, so a row that stays visible is not drawn again.
      const index = first + ((((i - first) % total) + total) % total);
      const line = this.lines[i]!;
      const seen = index < last;
      line.el.style.display = seen ? '' : 'none';
      if (!seen) continue;
      line.el.style.transform = `translateY(${index * HIGH - shift}px)`;
      const item = this.items.get(index);
      const version = item === undefined ? -1 : this.version;
      if (line.index !== index || line.version !== version) {
        line.index = index;
        line.version = version;
        line.el.setAttribute('aria-rowindex', String(index + 2));
        line.el.setAttribute('aria-selected', String(index === this.chosen));
        line.el.id = index === this.chosen ? `${this.name}-chosen` : '';
        line.el.className = 'bpv-row bpv-line';
        line.el.classList.toggle('bpv-chosen', index === this.chosen);
        line.el.classList.toggle('bpv-odd', index % 2 === 1);
        this.options.fill(line.cells, item, line.el);
      }
    }
    if (this.chosen >= first && this.chosen < last) {
      this.el.setAttribute('aria-activedescendant', `${this.name}-chosen`);
    } else {
      this.el.removeAttribute('aria-activedescendant');
    }
    this.fetch(first, last);
  }

  private readonly name = `bpv-${Math.random().toString(36).slice(2)}`;

  private line(): Line {
    const cells = this.options.columns.map(column =>
      h('div', { role: 'gridcell', class: `bpv-${column.name}` })
    );
    const el = h('div', { class: 'bpv-row bpv-line', role: 'row' }, ...cells);
    this.layer.append(el);
    return { el, cells, index: -1, version: -1 };
  }

  /** Request the rows that are missing here: one request at a time, for the current position. */
  private fetch(first: number, last: number): void {
    if (this.waiting) return;
    const gap = this.missing(first, last) ?? this.missing(last, last + AHEAD);
    const before = gap === null ? this.missing(first - AHEAD, first) : null;
    let start = gap;
    if (before !== null) start = Math.max(first - ASKED, 0);
    else if (gap !== null && gap === first) start = Math.max(first - AHEAD, 0);
    if (start === null) return;
    this.waiting = true;
    this.options.ask(start, ASKED);
  }

  private missing(from: number, to: number): number | null {
    for (let index = Math.max(from, 0); index < Math.min(to, this.count); index++) {
      if (!this.items.has(index)) return index;
    }
    return null;
  }
}
