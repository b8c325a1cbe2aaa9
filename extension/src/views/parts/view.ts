// What all views have in common: a frame, a line below it, and messages to and from the kernel.
import type { AnyModel } from '@anywidget/types';
import { h, type Child } from './dom';
import css from './views.css';

const STYLE = 'branchpoint-views';
const DEAF = 'data-lm-suppress-shortcuts';
const PATIENCE = 800; // ms without an answer until the user is told that the kernel is busy
const LOST = 'Its kernel was restarted or has ended: run the cell again.';

interface Answer {
  answer: string;
  text?: string;
}

/** A view of a model: its trait `state` has what is shown, `chosen` has what was chosen. */
export abstract class View<State, Chosen = object> {
  protected readonly status = h('span', { role: 'status' });
  protected readonly error = h('div', { class: 'bpv-error', role: 'alert', hidden: true });
  private readonly busy = h('span', { hidden: true }, '· waiting: the kernel is busy');
  /** Marks the requests of this view, so that the kernel can answer them in their order. */
  private readonly page = Math.random().toString(36).slice(2);
  private requests = 0;
  private patience: ReturnType<typeof setTimeout> | undefined;
  private gone = false;
  private readonly disposals: (() => void)[] = [];

  constructor(
    protected readonly model: AnyModel,
    protected readonly el: HTMLElement
  ) {}

  protected get state(): State {
    return this.model.get('state') as State;
  }

  protected get chosen(): Partial<Chosen> {
    return this.model.get('chosen') as Partial<Chosen>;
  }

  dispose(): void {
    for (const end of this.disposals) end();
  }

  protected whenDisposed(end: () => void): void {
    this.disposals.push(end);
  }

  // -- the page

  /** Put the view on the page: styled, dark on a dark page, without JupyterLab's single keys. */
  protected frame(
    label: string,
    children: Child[],
    foot: Child[] = [],
    adapted: () => void = () => undefined
  ): void {
    addStyle(STYLE, css);
    this.el.classList.add('bpv-host');
    const space = foot.length ? h('span', { class: 'bpv-space' }) : null;
    const root = h(
      'div',
      { class: 'bpv', role: 'region', 'aria-label': label, [DEAF]: 'true' },
      ...children,
      h('div', { class: 'bpv-bar bpv-foot' }, this.status, this.busy, space, ...foot)
    );
    root.addEventListener('keydown', event => {
      if (event.key !== 'Escape' || event.defaultPrevented) return;
      // Back to the cell, whose keys are JupyterLab's.
      const cell = root.parentElement?.closest<HTMLElement>('[tabindex]');
      if (cell) cell.focus();
      else (document.activeElement as HTMLElement | null)?.blur();
    });
    this.el.replaceChildren(root);
    // JupyterLab reads the attribute after the window's listeners have run.
    const hear = (event: KeyboardEvent) => root.toggleAttribute(DEAF, !isCommand(event));
    window.addEventListener('keydown', hear, true);
    const adapt = () => {
      root.classList.toggle('bpv-dark', isDark(root));
      adapted();
    };
    const observer = new MutationObserver(() => requestAnimationFrame(adapt));
    observer.observe(document.body, { attributes: true });
    observer.observe(document.documentElement, { attributes: true });
    requestAnimationFrame(adapt);
    this.whenDisposed(() => {
      window.removeEventListener('keydown', hear, true);
      observer.disconnect();
    });
  }

  protected fail(text: string): void {
    this.error.textContent = text;
    this.error.hidden = false;
  }

  // -- the kernel

  protected ask(what: string, rest: Record<string, unknown> = {}): void {
    if (this.gone) return;
    this.model.send({ ask: what, turn: [this.page, this.requests++], ...rest });
    this.patience ??= setTimeout(() => (this.busy.hidden = false), PATIENCE);
  }

  /** Listen to answers, and to changes of the given traits. */
  protected listen(changed: Record<string, () => void>): void {
    for (const [name, act] of Object.entries(changed)) {
      this.on(`change:${name}`, () => {
        this.settle();
        act();
      });
    }
    this.on('comm_live_update', () => this.lost());
    this.on('msg:custom', (answer: Answer, buffers: DataView[]) => {
      this.settle();
      if (answer.answer === 'error') this.fail(answer.text ?? '');
      else this.answered?.(answer, buffers);
    });
  }

  /** The kernel of this view is gone: nothing done here would have an effect. */
  protected lost(): void {
    this.settle();
    this.gone = true;
    this.fail(LOST);
  }

  /** The kernel has answered a request; its last answer is always "done". */
  protected answered?(answer: Answer, buffers: DataView[]): void;

  protected on(event: string, heard: (answer: Answer, buffers: DataView[]) => void): void {
    this.model.on(event, heard);
    this.whenDisposed(() => this.model.off(event, heard));
  }

  private settle(): void {
    clearTimeout(this.patience);
    this.patience = undefined;
    this.busy.hidden = true;
  }
}

/** What a module exports for the widget that loads it. */
export function widget(
  Made: new (model: AnyModel, el: HTMLElement) => View<unknown>
): { render(page: { model: AnyModel; el: HTMLElement }): () => void } {
  return {
    render({ model, el }) {
      const view = new Made(model, el);
      return () => view.dispose();
    }
  };
}

export function addStyle(id: string, css: string): void {
  if (document.getElementById(id)) return;
  const style = h('style', { id });
  style.textContent = css;
  document.head.append(style);
}

/** Shortcuts (such as those of the palette) go to JupyterLab, except in a terminal. */
function isCommand(event: KeyboardEvent): boolean {
  const held = event.shiftKey && (event.ctrlKey || event.altKey || event.metaKey);
  return held && !(event.target as Element).closest('.xterm');
}

function isDark(root: HTMLElement): boolean {
  const [red = 255, green = 255, blue = 255] = (
    getComputedStyle(root).backgroundColor.match(/[\d.]+/g) ?? []
  ).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
}
