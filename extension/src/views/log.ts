// The log explorer: filters, a table of events, and details of the chosen one.
import type { AnyModel } from '@anywidget/types';
import { paint, plain } from './parts/ansi';
import { copyButton, flag, h, number, whenGiven } from './parts/dom';
import { Menu, type Entry } from './parts/menu';
import { SearchView } from './parts/table';
import { widget } from './parts/view';

type Row = [
  position: number, at: number, container: string, stream: string, type: string, text: string,
  violated: boolean, size: number, folded: '' | 'kernel' | 'same' | 'open'
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
  branch: boolean;
  recording: string; // path of the recording whose events these are, as JupyterLab's panel has it
  live: boolean;
  last: number;
  first?: Row[];
  stays?: boolean;
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
const HUES = [4, 5, 6, 2, 3]; // no red: it marks failures
const INSTANT = 1e9;
const LONG = 40; // characters; a longer text may not fit into a row

class LogView extends SearchView<State, Chosen, Row> {
  private filter: Filter = EMPTY;
  private underway = 0; // filters that were sent and not answered yet
  private hues = new Map<string, number>();
  private mark: RegExp | null = null;
  private search: HTMLInputElement;
  private regex: HTMLButtonElement;
  private case: HTMLButtonElement;
  private menus: Record<'container' | 'stream' | 'type', Menu>;
  private start: HTMLInputElement;
  private end: HTMLInputElement;
  private near: HTMLElement;
  private follow: HTMLButtonElement;
  private fold: HTMLButtonElement;
  private current: Row | null = null; // the row that was chosen last
  private clear: HTMLButtonElement;
  private copy: HTMLButtonElement;

  constructor(model: AnyModel, el: HTMLElement) {
    super(model, el);
    const typed = () => this.whenTyped(() => this.change({}));
    this.search = h('input', {
      type: 'text', placeholder: 'Search the text', 'aria-label': 'Search the text', input: typed
    });
    this.regex = flag('.*', 'Regular expression', on => this.change({ is_regex: on }));
    this.case = flag('Aa', 'Match case', on => this.change({ case: on }));
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
      title: 'Only events that have, or do not have, a certain other event near them',
      click: () => this.addNear()
    }, '+ Near…');
    this.follow = flag('Follow', 'Keep the newest events visible', on =>
      this.setFollowing(on)
    );
    this.fold = flag('Fold', 'Show repeated lines, and lines of the kernel, as one row', on => {
      this.model.set('folding', on);
      this.model.save_changes();
    });
    this.clear = h('button', {
      class: 'bpv-button', type: 'button',
      click: () => {
        this.near.replaceChildren();
        this.change(EMPTY);
      }
    }, 'Clear');
    this.detail.setAttribute('aria-live', 'polite');
    this.copy = copyButton(
      'Copy the Python expression for these events', () => this.state.code, 'Copy as Python'
    );
    this.frame(
      'Log explorer',
      [h('div', { class: 'bpv-bar' },
        h('div', { class: 'bpv-search' }, this.search, this.regex, this.case),
        this.menus.container.el, this.menus.stream.el, this.menus.type.el,
        this.start, this.end, more, this.fold, this.follow, this.clear),
      this.near,
      this.error,
      this.scroller.el,
      this.detail],
      [this.copy]
    );
    this.listen({ state: () => this.show(), chosen: () => this.showChosen(true) });
    this.on('change:following', () => this.showFollowing());
    this.on('change:folding', () => this.showFolding());
    this.scroller.el.addEventListener('keydown', event => this.pressed(event));
    this.showFolding();
    this.show();
    this.showChosen(false);
  }

  protected table() {
    return {
      label: 'Events',
      columns: [
        { title: 'vtime (s)', name: 'vtime' },
        { title: 'container', name: 'container' },
        { title: 'type/stream', name: 'stream' },
        { title: 'text', name: 'text' }
      ],
      moved: (atEnd: boolean) => {
        if (this.following && !atEnd) this.setFollowing(false);
      }
    };
  }

  private get following(): boolean {
    return Boolean(this.model.get('following'));
  }

  // -- messages of the kernel

  private show(): void {
    const state = this.state;
    if (this.showFound('event')) {
      this.underway = Math.max(this.underway - 1, 0);
      if (!this.underway) this.showFilter(state); // otherwise the user has set a newer one
      this.mark = marking(state.filter);
      const { stays, first = [] } = state;
      if (stays) this.showChosen(false);
      this.current = (stays && first.find(row => row[0] === this.chosen.position)) || null;
    }
    for (const name of ['container', 'stream', 'type'] as const) {
      this.menus[name].set(state.facets[name] ?? [], this.filter[name]);
    }
    this.arrange(state);
    if (state.tail) this.scroller.put(state.tail[0], state.tail[1], false);
    if (this.following) this.scroller.toEnd();
    this.showFollowing();
  }

  /** Widths and colours, which depend on the containers that occur. */
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
      // In a narrow view, names are cut to leave room for the text.
      `${digits}ch minmax(9ch, ${widest(names, 9, 28)}ch) ` +
        `minmax(6ch, ${widest(types, 6, 17)}ch) minmax(40%, 1fr)`
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
      const begun = [...this.near.children].filter(row => !queryOf(row)); // no part of the filter yet
      this.near.replaceChildren(...filter.near.map(near => this.nearRow(near)), ...begun);
    }
  }

  private showFollowing(): void {
    this.follow.hidden = !this.state.live;
    this.follow.setAttribute('aria-pressed', String(this.following));
  }

  private showFolding(): void {
    this.fold.setAttribute('aria-pressed', String(Boolean(this.model.get('folding'))));
  }

  private showChosen(fresh: boolean): void {
    const { chosen } = this;
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

  protected override answered(answer: { answer: string; row?: number }): void {
    super.answered(answer);
    if (answer.answer === 'seek') this.scroller.mark(answer.row!);
  }

  protected override fail(text: string): void {
    this.underway = Math.max(this.underway - 1, 0);
    super.fail(text);
  }

  // -- actions of the user

  private change(changes: Partial<Filter>): void {
    this.stopTyping();
    this.filter = { ...this.filter, text: this.search.value, ...changes };
    this.underway++;
    this.ask('filter', { filter: this.filter });
  }

  private setFollowing(on: boolean): void {
    this.model.set('following', on);
    this.model.save_changes();
    this.showFollowing();
    if (on) this.scroller.toEnd();
  }

  /** Show the events of a folded row, or fold them again. */
  private open(row: Row): void {
    this.ask('open', { position: row[0] });
  }

  /** The right arrow opens the chosen row, the left arrow folds it, as in any tree. */
  private pressed(event: KeyboardEvent): void {
    const folded = this.current?.[8];
    if (event.ctrlKey || event.metaKey || event.altKey || !this.current || !folded) return;
    if (event.key !== (folded === 'open' ? 'ArrowLeft' : 'ArrowRight')) return;
    event.preventDefault();
    this.open(this.current);
    this.current = null; // until the answer comes
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
      const query = queryOf(row);
      const how = row.querySelector('select')!.value;
      const within = row.querySelector<HTMLInputElement>('.bpv-seconds')!.value.trim();
      return query ? [{ how, query, within }] : [];
    });
  }

  // -- a row

  protected choose(item: Row): void {
    this.current = item;
    this.ask('select', { position: item[0] });
  }

  protected fill(cells: HTMLElement[], item: Row | undefined, row: HTMLElement): void {
    const [vtime, container, stream, text] = cells as [
      HTMLElement, HTMLElement, HTMLElement, HTMLElement
    ];
    if (!item) {
      row.classList.add('bpv-missing');
      vtime.textContent = container.textContent = stream.textContent = '';
      text.textContent = '…';
      delete row.dataset['vtime'];
      row.removeAttribute('aria-expanded');
      return;
    }
    const [, at, who, out, type, said, violated, size, folded] = item;
    // For JupyterLab's context menu.
    if (this.state.branch) delete row.dataset['vtime']; // the menu knows recordings only
    else row.dataset['vtime'] = (at / INSTANT).toFixed(9);
    row.dataset['run'] = this.state.recording;
    row.dataset['container'] = who.startsWith('(') ? '' : who;
    vtime.textContent = (at / INSTANT).toFixed(6);
    container.replaceChildren(h('bdi', {}, plain(who)));
    const hue = this.hues.get(who);
    container.className = `bpv-container${hue === undefined ? ' bpv-dim' : ` bpv-ink${hue}`}`;
    stream.textContent = plain(type === 'log' ? out : type);
    const events = `bpv-event ${violated ? 'bpv-bad' : kind(type)}`;
    const look = type === 'log' ? (out === 'err' ? 'bpv-err' : '') : events;
    if (look) row.classList.add(...look.trim().split(' '));
    text.title = said.length > LONG ? plain(said) : '';
    if (folded === 'kernel') {
      text.textContent = `${number(size)} lines of the kernel`;
      row.classList.add('bpv-folded');
    } else paint(text, said, this.mark);
    if (folded) row.setAttribute('aria-expanded', String(folded === 'open'));
    else row.removeAttribute('aria-expanded');
    if (folded === 'same' || folded === 'open') {
      text.append(h('span', { class: 'bpv-times' }, `  × ${number(size)}`));
    }
    if (folded) text.prepend(this.opener(item));
  }

  private opener(row: Row): HTMLElement {
    const isOpen = row[8] === 'open';
    const title = isOpen ? 'Show them as one row' : 'Show all of them';
    return h('button', {
      class: 'bpv-opener', type: 'button', tabindex: -1, title, 'aria-label': title,
      click: (event: MouseEvent) => {
        event.stopPropagation();
        this.open(row);
      }
    }, isOpen ? '▾' : '▸');
  }
}

/** What a row of conditions asks for; "" while nothing was entered. */
function queryOf(row: Element): string {
  return row.querySelector<HTMLInputElement>('.bpv-query')!.value.trim();
}

function kind(type: string): string {
  if (/(^|\.)(exit|oom|error)$/.test(type)) return 'bpv-bad';
  if (type.startsWith('fault')) return 'bpv-fault';
  return /^(container|setup)\./.test(type) ? 'bpv-life' : '';
}

/** What to mark in the texts; null for an expression that only Python understands. */
function marking(filter: Filter): RegExp | null {
  if (!filter.text) return null;
  const escaped = filter.text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  try {
    return new RegExp(filter.is_regex ? filter.text : escaped, filter.case ? 'g' : 'gi');
  } catch {
    return null;
  }
}

export default widget(LogView);
