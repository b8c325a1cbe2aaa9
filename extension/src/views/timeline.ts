// The timeline: lanes of containers on a canvas, to zoom and click in.
import type { AnyModel } from '@anywidget/types';
import { plain } from './parts/ansi';
import { copyButton, Earlier, h, number } from './parts/dom';
import { paintTimeline, AXIS, CURVE, FAULTS, LANE, type Look } from './parts/lanes';
import { Scale, seconds } from './parts/time';
import { widget, View } from './parts/view';

type Mark = [
  lane: number, column: number, kind: string, at: number, text: string, count: number
];
type Span = [lane: number, start: number, end: number, what: string];
type CurvePoint = [
  at: number, p: number, low: number, high: number, failed: number, trials: number
];

export interface State {
  lanes: string[];
  span: [number, number];
  events: number;
  failure: number | null;
  fork: number | null;
  earlier: boolean;
  more: boolean;
  curves: { failure: string; points: CurvePoint[] }[];
}

export interface Picture {
  start: number;
  end: number;
  columns: number;
  lines: DataView;
  errors: DataView;
  marks: Mark[];
  states: Span[];
  faults: Span[];
  ran: DataView;
  turns: Span[];
  checkpoints: number[];
}

interface Chosen {
  at: number;
  vtime: string;
  id: string;
}

const NEAR = 6; // px; a click this near to a mark means the mark
const DRAG = 4; // px; a click that moves farther is a drag
const LEAST = 1000; // ns; the shortest visible stretch
const LEGEND: [string, string, string][] = [
  ['✕', 'exit', 'bpv-ink1'],
  ['◆', 'fault', 'bpv-ink3'],
  ['▸', 'start', 'bpv-ink2'],
  ['▌', 'lines', 'bpv-dim'],
  ['▵', 'checkpoint', 'bpv-ink4']
];

function legend(sign: string, name: string, colour: string): HTMLElement {
  return h('span', { class: 'bpv-legend' }, h('span', { class: colour }, sign), ` ${name}`);
}

class TimelineView extends View<State, Chosen> {
  private canvas = h('canvas', {
    class: 'bpv-canvas', tabindex: 0, role: 'application',
    'aria-label':
      'Timeline. Arrow keys move the cursor, Enter chooses its moment, plus and minus zoom, 0 ' +
      'shows everything, N and P go to the next and the previous mark.'
  });
  private tip = h('div', { class: 'bpv-tip', hidden: true });
  private moment = h('span', { class: 'bpv-moment' });
  private ran = legend('▮', 'has the processor', 'bpv-ink4');
  private earlier = new Earlier('curves', earlier => this.ask('earlier', { earlier }));
  private start = 0;
  private end = 1;
  private cursor: number | null = null;
  private press: { x: number; at: number } | null = null;
  private drag: number | null = null;
  private scheduled = false;
  private asked = '';

  constructor(model: AnyModel, el: HTMLElement) {
    super(model, el);
    const button = (text: string, title: string, click: () => void) =>
      h('button', { class: 'bpv-button', type: 'button', title, 'aria-label': title, click }, text);
    this.frame(
      'Timeline',
      [
        h('div', { class: 'bpv-bar' },
          button('All', 'Show everything', () => this.zoomTo(...this.state.span)),
          button('+', 'Zoom in', () => this.zoom(0.5)),
          button('−', 'Zoom out', () => this.zoom(2)),
          button('‹', 'Previous mark', () => this.next(false)),
          button('›', 'Next mark', () => this.next(true)),
          button('Who ran', 'Show which container has the processor in the visible stretch',
            () => this.ask('schedule', {})),
          this.earlier.el,
          h('span', { class: 'bpv-space' }),
          ...LEGEND.map(entry => legend(...entry)),
          this.ran),
        this.error,
        h('div', { class: 'bpv-stage' }, this.canvas, this.tip)
      ],
      [this.moment],
      () => this.schedule()
    );
    this.listen({
      state: () => this.showState(),
      picture: () => this.showPicture(),
      chosen: () => this.showChosen()
    });
    this.listenToUser();
    const observer = new ResizeObserver(() => this.resized());
    observer.observe(this.canvas);
    this.whenDisposed(() => observer.disconnect());
    this.showState();
    this.showPicture();
    this.showChosen();
  }

  private get picture(): Picture {
    return this.model.get('picture') as Picture;
  }

  // -- messages of the kernel

  private showState(): void {
    const { lanes, curves, earlier, more } = this.state;
    this.earlier.show(earlier, more);
    this.canvas.style.height = `${(curves.length ? CURVE : 0) + lanes.length * LANE + AXIS}px`;
    this.describe();
    this.schedule();
  }

  private showPicture(): void {
    this.error.hidden = true;
    this.start = this.picture.start;
    this.end = this.picture.end;
    this.ran.hidden = !this.picture.ran.byteLength;
    this.schedule();
  }

  private showChosen(): void {
    const { id, at } = this.chosen;
    this.moment.replaceChildren();
    if (id !== undefined) {
      const code = `run.at("${id}")`;
      this.moment.append(
        h('code', {}, code),
        copyButton('Copy this moment', () => code)
      );
    }
    if (at !== undefined && (at < this.start || at > this.end)) {
      const half = (this.end - this.start) / 2;
      this.zoomTo(at - half, at + half);
    }
    this.schedule();
  }

  // -- geometry

  private get look(): Look {
    const names = this.state.lanes;
    const longest = Math.max(...names.map(name => name.length), 8);
    const left = Math.min(longest * 7 + 16, 220, this.canvas.clientWidth * 0.35);
    const width = Math.max(this.canvas.clientWidth - left - 10, 10);
    return { left, top: this.state.curves.length ? CURVE : 0, scale: this.scale(left, width) };
  }

  private scale(left: number, width: number): Scale {
    return new Scale(this.start, this.end, left, width);
  }

  private resized(): void {
    const { scale } = this.look;
    const columns = Math.round(scale.width);
    // The first picture may be for another width.
    if (columns > 10 && columns !== this.picture.columns) this.fetch(columns);
    this.schedule();
  }

  private fetch(columns = Math.round(this.look.scale.width)): void {
    const wanted = { start: Math.round(this.start), end: Math.round(this.end), columns };
    const words = JSON.stringify(wanted);
    if (words !== this.asked) this.ask('window', wanted);
    this.asked = words;
  }

  private zoomTo(start: number, end: number): void {
    const [first, last] = this.state.span;
    const length = Math.min(Math.max(end - start, LEAST), last - first);
    this.start = Math.min(Math.max(start, first), last - length);
    this.end = this.start + length;
    this.asked = '';
    this.fetch();
    this.schedule();
  }

  private zoom(factor: number, around = this.cursor ?? (this.start + this.end) / 2): void {
    this.zoomTo(around - (around - this.start) * factor, around + (this.end - around) * factor);
  }

  private next(forward: boolean): void {
    const { at: last } = this.chosen;
    const inSight = last !== undefined && last >= this.start && last <= this.end;
    const at = inSight ? last : forward ? this.start - 1 : this.end + 1;
    this.ask('next', { at, forward });
  }

  private choose(at: number): void {
    this.ask('choose', { at: Math.round(at) });
  }

  // -- actions of the user

  private listenToUser(): void {
    const canvas = this.canvas;
    const x = (event: MouseEvent) => event.clientX - canvas.getBoundingClientRect().left;
    const y = (event: MouseEvent) => event.clientY - canvas.getBoundingClientRect().top;
    canvas.addEventListener('pointerdown', event => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.press = { x: x(event), at: this.look.scale.at(x(event)) };
    });
    canvas.addEventListener('pointermove', event => {
      this.cursor = this.look.scale.at(x(event));
      const dragged = this.press && Math.abs(x(event) - this.press.x) >= DRAG;
      this.drag = dragged ? this.cursor : null;
      this.hover(x(event), y(event));
      this.schedule();
    });
    canvas.addEventListener('pointerup', event => {
      const { press, drag } = this;
      this.press = this.drag = null;
      if (!press) return;
      if (drag !== null) this.zoomTo(Math.min(press.at, drag), Math.max(press.at, drag));
      else this.choose(this.markAt(x(event), y(event))?.[3] ?? press.at);
    });
    canvas.addEventListener('pointercancel', () => (this.press = this.drag = null));
    canvas.addEventListener('pointerleave', () => {
      this.cursor = null;
      this.tip.hidden = true;
      this.describe();
      this.schedule();
    });
    canvas.addEventListener('dblclick', () => this.zoomTo(...this.state.span));
    canvas.addEventListener(
      'wheel',
      event => {
        if (!event.ctrlKey && !event.shiftKey) return;
        event.preventDefault();
        const turn = event.deltaY || event.deltaX;
        if (event.ctrlKey) this.zoom(turn > 0 ? 1.25 : 0.8);
        else {
          const by = ((this.end - this.start) * turn) / 1000;
          this.zoomTo(this.start + by, this.end + by);
        }
      },
      { passive: false }
    );
    canvas.addEventListener('keydown', event => this.pressed(event));
  }

  private pressed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // With nothing to take back, Escape leaves the view, as in all views.
    if (event.key === 'Escape' && this.cursor === null && !this.press) return;
    const { scale } = this.look;
    const pixel = (this.end - this.start) / scale.width;
    const at = this.cursor ?? this.chosen.at ?? (this.start + this.end) / 2;
    const move = (by: number) => {
      this.cursor = Math.min(Math.max(at + by * pixel, this.start), this.end);
      this.hover(scale.x(this.cursor), -1);
    };
    const actions: Record<string, () => void> = {
      ArrowLeft: () => move(event.shiftKey ? -20 : -2),
      ArrowRight: () => move(event.shiftKey ? 20 : 2),
      Enter: () => this.choose(at),
      '+': () => this.zoom(0.5),
      '=': () => this.zoom(0.5),
      '-': () => this.zoom(2),
      0: () => this.zoomTo(...this.state.span),
      n: () => this.next(true),
      p: () => this.next(false),
      Escape: () => (this.cursor = this.press = this.drag = null)
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
    this.schedule();
  }

  /** The mark at a position; with a negative `y`, at any height. */
  private markAt(x: number, y: number): Mark | null {
    const { scale, top } = this.look;
    const lane = y < 0 ? -1 : Math.floor((y - top) / LANE);
    let best: Mark | null = null;
    let nearest = NEAR;
    const above = y >= 0 && (y - top) % LANE < 2 * FAULTS; // where the signs of faults are
    for (const mark of this.picture.marks) {
      const other = y >= 0 && (mark[2] === 'fault') !== above;
      const away = Math.abs(scale.x(mark[3]) - x) + (other ? NEAR / 2 : 0);
      if (away <= nearest && (lane < 0 || mark[0] === lane)) {
        best = mark;
        nearest = away;
      }
    }
    return best;
  }

  private hover(x: number, y: number): void {
    const { scale, top } = this.look;
    const said: string[] = [];
    const mark = this.markAt(x, y);
    if (mark) {
      said.push(plain(mark[4]) + (mark[5] > 1 ? `  (and ${number(mark[5] - 1)} more)` : ''));
    }
    const lane = Math.floor((y - top) / LANE);
    const column = ((scale.at(x) - this.picture.start) * this.picture.columns) /
      (this.picture.end - this.picture.start);
    for (const [where, start, end, what] of [...this.picture.faults, ...this.picture.turns]) {
      if (where === lane && start <= column && column <= end && said.length < 4) {
        said.push(plain(what));
      }
    }
    if (y >= 0 && y < top) said.push(...this.curveAt(x));
    this.tip.hidden = !said.length;
    this.tip.textContent = said.join('\n');
    const width = this.canvas.clientWidth;
    this.tip.style.left = x < width / 2 ? `${x + 12}px` : '';
    this.tip.style.right = x < width / 2 ? '' : `${width - x + 12}px`;
    this.tip.style.top = `${Math.max(y, 0) + 14}px`;
    this.describe(said[0]);
  }

  private curveAt(x: number): string[] {
    const { scale } = this.look;
    return this.state.curves.slice(0, 4).flatMap(({ failure, points }) => {
      const near = points.filter(([at]) => Math.abs(scale.x(at) - x) < NEAR)[0];
      if (!near) return [];
      const [at, p, low, high, failed, trials] = near;
      return [
        `P(${plain(failure)}) = ${p.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}): ` +
          `${failed} of ${trials} futures from ${seconds(at)} s`
      ];
    });
  }

  private describe(what = ''): void {
    const perPixel = (this.end - this.start) / Math.max(this.look.scale.width, 1);
    const { span, events } = this.state;
    this.status.textContent =
      this.cursor !== null
        ? `${seconds(this.cursor, perPixel)} s${what ? ` · ${what}` : ''}`
        : `${seconds(span[1], 1e6)} virtual s · ${number(events)} events · drag to zoom, ` +
          'click for a moment';
  }

  // -- drawing

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      if (this.el.isConnected) {
        paintTimeline(this.canvas, this.look, this.state, this.picture, {
          cursor: this.cursor,
          chosen: this.chosen.at ?? null,
          brush: this.press && this.drag !== null ? [this.press.at, this.drag] : null
        });
      }
    });
  }
}

export default widget(TimelineView);
