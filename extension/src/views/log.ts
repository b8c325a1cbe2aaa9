// The log explorer: filters, a table of events, and what is known of the chosen one.
import type { AnyModel } from '@anywidget/types';
import { paint, plain } from './parts/ansi';
import { Asking } from './parts/asking';
import { copyButton, flag, frame, h, number, whenGiven } from './parts/dom';
import { Menu, type Entry } from './parts/menu';
import { Scroller } from './parts/scroller';

type Row = [
  position: number, at: number, container: string, stream: string, type: string, text: string,
  violated: boolean
];

interface Nearby {
  how: string;
  query: string;
  within: string;
}

interface Filter {
  text: string;
  is_regex: boolean;
  case: boolean;
  container: string[];
  stream: string[];
  type: string[];
  start: string;
  end: string;
  near: Nearby[];
}

interface State {
  generation: number;
  count: number;
  total: number;
  scanned: number;
  filter: Filter;
  code: string;
  live: boolean;
  last: number;
  first?: Row[];
  tail: [number, Row[]] | null;
  facets: Record<'container' | 'stream' | 'type', Entry[]>;
}

interface Chosen {
  position: number;
  row: number;
  vtime: string;
  id: string;
  text: string;
  fields: Record<string, string>;
}

type Answer =
  | { answer: 'rows'; generation: number; start: number; rows: Row[] }
  | { answer: 'seek'; row: number }
  | { answer: 'error'; text: string }
  | { answer: 'done' };

const TYPING = 80; // ms of rest after which a text is searched for
const EMPTY: Filter = {
  text: '', is_regex: false, case: false, container: [], stream: [], type: [], start: '', end: '',
  near: []
};
const HOW = {
  preceded_by: 'preceded by',
  not_preceded_by: 'not preceded by',
  followed_by: 'followed by',
  not_followed_by: 'not followed by'
};
const HUES = [4, 5, 6, 2, 3]; // red is for what went wrong
const INSTANT = 1e9;

class LogView {
  private filter: Filter = EMPTY;
  private generation = -1;
  private underway = 0; // filters that were sent and not answered
  private hues = new Map<string, number>();
  private mark: RegExp | null = null;
  private typing: ReturnType<typeof setTimeout> | undefined;
  private asking: Asking;
  private scroller: Scroller<Row>;
  private search: HTMLInputElement;
  private regex: HTMLButtonElement;
  private case: HTMLButtonElement;
  private menus: Record<'container' | 'stream' | 'type', Menu>;
  private start: HTMLInputElement;
  private end: HTMLInputElement;
  private near: HTMLElement;
  private follow: HTMLButtonElement;
  private clear: HTMLButtonElement;
  private error: HTMLElement;
  private detail: HTMLElement;
  private status: HTMLElement;
  private busy: HTMLElement;
  private copy: HTMLButtonElement;
  readonly dispose: () => void;

  constructor(
    private model: AnyModel,
    el: HTMLElement
  ) {
    this.asking = new Asking(model, busy => (this.busy.hidden = !busy));
    this.scroller = new Scroller<Row>({
      label: 'Events',
      rowHeight: 20,
      columns: [
        { title: 'vtime (s)', name: 'vtime' },
        { title: 'container', name: 'container' },
        { title: 'stream', name: 'stream' },
        { title: 'text', name: 'text' }
      ],
      fill: (cells, item, row) => this.fill(cells, item, row),
      ask: (start, count) =>
        this.asking.ask('rows', { generation: this.generation, start, count }),
      choose: item => this.asking.ask('select', { position: item[0] }),
      moved: atEnd => {
        if (this.following && !atEnd) this.setFollowing(false);
      }
    });
    const typed = () => this.later(() => this.change({}));
    this.search = h('input', {
      type: 'text', placeholder: 'Search the text', 'aria-label': 'Search the text', input: typed
    });
    this.regex = flag('.*', 'Regular expression', on => this.change({ is_regex: on }));
    this.case = flag('Aa', 'Capitals count', on => this.change({ case: on }));
    this.menus = {
      container: new Menu('Container', container => this.change({ container })),
      stream: new Menu('Stream', stream => this.change({ stream })),
      type: new Menu('Event', type => this.change({ type }))
    };
    const seconds = (name: 'start' | 'end', label: string) => {
      const field = h('input', {
        type: 'text', class: 'bpv-seconds', placeholder: label, 'aria-label': `${label} (virtual s)`,
        inputmode: 'decimal'
      });
      whenGiven(field, value => this.change({ [name]: value }));
      return field;
    };
    this.start = seconds('start', 'from s');
    this.end = seconds('end', 'to s');
    this.near = h('div', { role: 'group', 'aria-label': 'Conditions on other events' });
    const more = h('button', {
      class: 'bpv-button', type: 'button',
      title: 'Only events that have, or have not, another one close by',
      click: () => this.addNear()
    }, '+ Near…');
    this.follow = flag('Follow', 'Keep the newest events in sight', on =>
      this.setFollowing(on)
    );
    this.clear = h('button', {
      class: 'bpv-button', type: 'button', click: () => this.change(EMPTY)
    }, 'Clear');
    this.error = h('div', { class: 'bpv-error', role: 'alert', hidden: true });
    this.detail = h('div', { class: 'bpv-detail', 'aria-live': 'polite', hidden: true });
    this.status = h('span', { role: 'status' });
    this.busy = h('span', { hidden: true }, '· the kernel is busy, this waits for it');
    this.copy = copyButton('Copy the Python expression for these events', () => this.state.code);
    this.copy.textContent = 'Copy as Python';
    const unframe = frame(
      el,
      'Log explorer',
      [h('div', { class: 'bpv-bar' },
        h('div', { class: 'bpv-search' }, this.search, this.regex, this.case),
        this.menus.container.el, this.menus.stream.el, this.menus.type.el,
        this.start, this.end, more, this.follow, this.clear),
      this.near,
      this.error,
      this.scroller.el,
      this.detail,
      h('div', { class: 'bpv-bar bpv-foot' },
        this.status, this.busy, h('span', { class: 'bpv-space' }), this.copy)]
    );
    const onState = () => this.show();
    const onChosen = () => this.showChosen(true);
    const onFollowing = () => this.showFollowing();
    const onMessage = (answer: Answer) => this.answered(answer);
    model.on('change:state', onState);
    model.on('change:chosen', onChosen);
    model.on('change:following', onFollowing);
    model.on('msg:custom', onMessage);
    this.show();
    this.showChosen(false);
    this.dispose = () => {
      model.off('change:state', onState);
      model.off('change:chosen', onChosen);
      model.off('change:following', onFollowing);
      model.off('msg:custom', onMessage);
      clearTimeout(this.typing);
      this.scroller.dispose();
      unframe();
    };
  }

  private get state(): State {
    return this.model.get('state') as State;
  }

  private get following(): boolean {
    return Boolean(this.model.get('following'));
  }

  // -- what the kernel says

  private show(): void {
    this.asking.answered();
    const state = this.state;
    if (state.generation !== this.generation) {
      this.generation = state.generation;
      this.error.hidden = true;
      this.underway = Math.max(this.underway - 1, 0);
      if (!this.underway) this.showFilter(state); // else it is older than what was set since
      this.scroller.reset(state.count, state.first ?? []);
      this.mark = marking(state.filter);
    } else {
      this.scroller.resize(state.count);
    }
    for (const name of ['container', 'stream', 'type'] as const) {
      this.menus[name].set(state.facets[name] ?? [], this.filter[name]);
    }
    this.arrange(state);
    if (state.tail) this.scroller.put(state.tail[0], state.tail[1], false);
    if (this.following) this.scroller.toEnd();
    this.showFollowing();
    const searching = state.scanned < 1 ? ` · searching, ${Math.floor(state.scanned * 100)} %` : '';
    const few = state.count !== state.total;
    this.status.textContent =
      `${few ? `${number(state.count)} of ` : ''}${number(state.total)} ` +
      `event${state.total === 1 ? '' : 's'}${searching}`;
    if (state.scanned < 1) this.asking.ask('more', { generation: state.generation });
  }

  /** Widths and colours that follow from which containers there are. */
  private arrange(state: State): void {
    const names = state.facets.container.map(([name]) => name);
    names.forEach(name => {
      if (!name.startsWith('(') && !this.hues.has(name)) {
        this.hues.set(name, HUES[this.hues.size % HUES.length]!);
      }
    });
    const widest = (list: string[], least: number, most: number) =>
      Math.min(Math.max(least, ...list.map(name => name.length)), most);
    const types = state.facets.type.map(([name]) => name).filter(name => name !== 'log');
    const digits = Math.max((state.last / INSTANT).toFixed(6).length, 10);
    this.scroller.el.style.setProperty(
      '--columns',
      `${digits}ch ${widest(names, 9, 28)}ch ${widest(types, 6, 17)}ch minmax(0, 1fr)`
    );
  }

  private showFilter(state: State): void {
    const filter = (this.filter = state.filter);
    const set = (input: HTMLInputElement, value: string) => {
      if (document.activeElement !== input) input.value = value;
    };
    set(this.search, filter.text);
    set(this.start, filter.start);
    set(this.end, filter.end);
    this.regex.setAttribute('aria-pressed', String(filter.is_regex));
    this.case.setAttribute('aria-pressed', String(filter.case));
    this.clear.hidden = JSON.stringify(filter) === JSON.stringify(EMPTY);
    if (!this.near.contains(document.activeElement)) {
      this.near.replaceChildren(...filter.near.map(near => this.nearRow(near)));
    }
  }

  private showFollowing(): void {
    this.follow.hidden = !this.state.live;
    this.follow.setAttribute('aria-pressed', String(this.following));
  }

  private showChosen(fresh: boolean): void {
    if (fresh) this.asking.answered();
    const chosen = this.model.get('chosen') as Partial<Chosen>;
    this.detail.hidden = chosen.position === undefined;
    if (chosen.position === undefined || chosen.row === undefined) return;
    this.scroller.mark(chosen.row, fresh);
    const text = h('pre');
    paint(text, chosen.text ?? '', this.mark);
    const fields = Object.entries(chosen.fields ?? {});
    const code = chosen.id ? `run.at("${chosen.id}")` : '';
    this.detail.replaceChildren(
      h('div', { class: 'bpv-moment' },
        code ? h('code', {}, code) : h('span', {}, `${chosen.vtime} s`),
        code ? copyButton('Copy the moment of this event', () => code) : null),
      text,
      fields.length
        ? h('dl', {}, ...fields.flatMap(([name, value]) =>
            [h('dt', {}, plain(name)), h('dd', {}, plain(value))]))
        : ''
    );
  }

  private answered(answer: Answer): void {
    this.asking.answered();
    if (answer.answer === 'rows' && answer.generation === this.generation) {
      this.scroller.put(answer.start, answer.rows);
    } else if (answer.answer === 'seek') {
      this.scroller.mark(answer.row);
    } else if (answer.answer === 'error') {
      this.underway = Math.max(this.underway - 1, 0);
      this.error.textContent = answer.text;
      this.error.hidden = false;
    }
  }

  // -- what the user does

  private later(action: () => void): void {
    clearTimeout(this.typing);
    this.typing = setTimeout(action, TYPING);
  }

  private change(changes: Partial<Filter>): void {
    clearTimeout(this.typing);
    this.filter = { ...this.filter, text: this.search.value, ...changes };
    this.underway++;
    this.asking.ask('filter', { filter: this.filter });
  }

  private setFollowing(on: boolean): void {
    this.model.set('following', on);
    this.model.save_changes();
    this.showFollowing();
    if (on) this.scroller.toEnd();
  }

  // -- conditions on other events

  private addNear(): void {
    const row = this.nearRow({ how: 'preceded_by', query: '', within: '1' });
    this.near.append(row);
    row.querySelector('select')?.focus();
  }

  private nearRow(near: Nearby): HTMLElement {
    const changed = () => this.change({ near: this.nearby() });
    const how = h('select', { 'aria-label': 'How', change: changed },
      ...Object.entries(HOW).map(([name, text]) =>
        h('option', { value: name, selected: name === near.how }, text)));
    const query = h('input', {
      type: 'text', class: 'bpv-query', value: near.query, 'aria-label': 'Which event',
      placeholder: 'exit:CONTAINER, log:CONTAINER:TEXT, event:TYPE, sdk:MESSAGE, or a text'
    });
    whenGiven(query, changed);
    const within = h('input', {
      type: 'text', class: 'bpv-seconds', value: near.within, placeholder: 'any',
      'aria-label': 'Within how many virtual seconds', inputmode: 'decimal'
    });
    whenGiven(within, changed);
    const remove = h('button', {
      class: 'bpv-button', type: 'button', title: 'Remove this condition',
      'aria-label': 'Remove this condition',
      click: () => {
        row.remove();
        changed();
      }
    }, '×');
    const row = h('div', { class: 'bpv-bar' }, how, query, 'within', within, 's', remove);
    return row;
  }

  private nearby(): Nearby[] {
    return [...this.near.children].flatMap(row => {
      const [query, within] = row.querySelectorAll('input');
      const how = row.querySelector('select')!.value;
      const asked = query!.value.trim();
      return asked ? [{ how, query: asked, within: within!.value.trim() }] : [];
    });
  }

  // -- a row

  private fill(cells: HTMLElement[], item: Row | undefined, row: HTMLElement): void {
    const [vtime, container, stream, text] = cells as [
      HTMLElement, HTMLElement, HTMLElement, HTMLElement
    ];
    if (!item) {
      row.classList.add('bpv-missing');
      vtime.textContent = container.textContent = stream.textContent = '';
      text.textContent = '…';
      delete row.dataset['vtime'];
      return;
    }
    const [, at, who, out, type, said, violated] = item;
    // For JupyterLab's context menu.
    row.dataset['vtime'] = (at / INSTANT).toFixed(9);
    row.dataset['container'] = who.startsWith('(') ? '' : who;
    vtime.textContent = (at / INSTANT).toFixed(6);
    container.textContent = plain(who);
    const hue = this.hues.get(who);
    container.className = `bpv-container${hue === undefined ? ' bpv-dim' : ` bpv-ink${hue}`}`;
    stream.textContent = plain(type === 'log' ? out : type);
    const events = `bpv-event ${violated ? 'bpv-bad' : kind(type)}`;
    const look = type === 'log' ? (out === 'err' ? 'bpv-err' : '') : events;
    if (look) row.classList.add(...look.trim().split(' '));
    paint(text, said, this.mark);
  }
}

function kind(type: string): string {
  if (/(^|\.)(exit|oom|error)$/.test(type)) return 'bpv-bad';
  if (type.startsWith('fault')) return 'bpv-fault';
  return /^(container|setup)\./.test(type) ? 'bpv-life' : '';
}

/** What is to be marked in the texts; an expression that only Python knows is not. */
function marking(filter: Filter): RegExp | null {
  if (!filter.text) return null;
  const escaped = filter.text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  try {
    return new RegExp(filter.is_regex ? filter.text : escaped, filter.case ? 'g' : 'gi');
  } catch {
    return null;
  }
}

export default {
  render({ model, el }: { model: AnyModel; el: HTMLElement }): () => void {
    return new LogView(model, el).dispose;
  }
};
