// A terminal: shows the output of a shell in a branch and sends keys to it.
import type { AnyModel } from '@anywidget/types';
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import xterm from '@xterm/xterm/css/xterm.css';
import { copyButton, h } from './parts/dom';
import css from './parts/terminal.css';
import { addStyle, View, widget } from './parts/view';

interface State {
  container: string;
  dead: boolean;
  rows: number;
  columns: number;
  passes: boolean;
  vtime: string;
  code: string;
  exit: number | null;
  error: string;
}

interface Output {
  answer: string;
  start: number;
  asked?: boolean;
  first?: boolean; // no page has shown this terminal before
}

const STYLE = 'branchpoint-xterm';
const HUES = ['red', 'green', 'yellow', 'blue', 'magenta', 'cyan'];
const SCROLLBACK = 10_000; // lines

/** Whether keys go to an editor or an input of the page. */
function isTyped(element: Element | null): boolean {
  return element instanceof HTMLElement &&
    (element.isContentEditable || element.matches('input, textarea, select'));
}

class TerminalView extends View<State> {
  private terminal: Terminal;
  private fit = new FitAddon();
  private shown = 0; // bytes that were given to the terminal
  private begun = false; // whether the output from before this page was opened has come
  private replaying = false;
  private host: HTMLElement;
  private screen: HTMLElement;
  private pass: HTMLButtonElement;
  private copy: HTMLButtonElement;

  constructor(model: AnyModel, el: HTMLElement) {
    super(model, el);
    addStyle(STYLE, xterm + css);
    const where = this.state.container || 'guest';
    this.screen = h('div', { class: 'bpv-screen' });
    this.host = h('div', { class: 'bpv-terminal' }, this.screen);
    this.pass = h('button', {
      class: 'bpv-button', type: 'button',
      click: () => this.ask(this.state.passes ? 'pause' : 'run')
    });
    const fit = h('button', {
      class: 'bpv-button', type: 'button',
      title: 'Use as many rows and columns as fit; drag the lower edge for more rows',
      click: () => this.resize()
    }, 'Fit');
    this.copy = copyButton(
      'Copy the Python expression for this terminal as it is now', () => this.state.code,
      'Copy as Python'
    );
    this.terminal = new Terminal({
      rows: this.state.rows,
      cols: this.state.columns,
      scrollback: SCROLLBACK,
      fontSize: 12
    });
    this.frame(
      `Terminal in ${where}`,
      [h('div', { class: 'bpv-bar' },
        h('strong', {}, where), this.pass, fit, h('span', { class: 'bpv-space' }),
        h('span', { class: 'bpv-dim' }, 'Shift+Esc leaves the terminal')),
      this.host,
      this.error],
      [this.copy],
      () => this.dress()
    );
    this.terminal.loadAddon(this.fit);
    this.terminal.open(this.screen);
    this.terminal.textarea?.setAttribute('aria-label', `Terminal in ${where}`);
    this.terminal.attachCustomKeyEventHandler(event => this.isForTerminal(event));
    this.terminal.onData(keys => this.type(keys, false));
    this.terminal.onBinary(keys => this.type(keys, true));
    let height = 0;
    this.host.addEventListener('pointerdown', () => (height = this.host.clientHeight));
    const released = () => {
      if (height && height !== this.host.clientHeight) this.resize();
      height = 0;
    };
    document.addEventListener('pointerup', released);

    this.whenDisposed(() => {
      document.removeEventListener('pointerup', released);
      this.terminal.dispose();
    });
    this.listen({ state: () => this.show() });
    this.show();
    this.ask('output', { start: 0 });
  }

  /** Colours that are readable on this page, the same as in the other views. */
  private dress(): void {
    const style = getComputedStyle(this.host);
    const value = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const foreground = style.color;
    const background = getComputedStyle(this.host.parentElement!).backgroundColor;
    this.terminal.options.theme = {
      background, foreground, cursor: foreground, cursorAccent: background,
      selectionBackground: value('chosen'),
      black: value('soft'), brightBlack: value('soft'), white: foreground, brightWhite: foreground,
      ...Object.fromEntries(HUES.flatMap(hue => [
        [hue, value(hue)],
        [`bright${hue[0]!.toUpperCase()}${hue.slice(1)}`, value(hue)]
      ]))
    };
    this.terminal.options.fontFamily = value('mono') || 'monospace';
  }

  // -- messages of the kernel

  private show(): void {
    const state = this.state;
    if (state.rows !== this.terminal.rows || state.columns !== this.terminal.cols) {
      this.terminal.resize(state.columns, state.rows);
    }
    const ended = state.exit !== null;
    this.terminal.options.disableStdin = ended;
    this.pass.hidden = ended;
    this.pass.textContent = state.passes ? 'Pause' : 'Run';
    this.pass.title = state.passes
      ? 'Pause time in the branch'
      : 'Let time pass in the branch for a minute; a key lets pass only the time for its answer';
    const what = ended
      ? `ended with exit code ${state.exit}`
      : state.passes ? 'time passes' : 'time is paused';
    const dead = state.dead ? ' · the container is dead: only its files and network are left' : '';
    this.status.textContent = `${state.vtime} s · ${what}${dead}`;
    this.copy.hidden = !state.code;
    this.error.textContent = state.error;
    this.error.hidden = !state.error;
  }

  protected override lost(): void {
    super.lost();
    this.terminal.options.disableStdin = true;
    this.terminal.options.cursorBlink = false;
    this.host.classList.add('bpv-lost');
    this.pass.hidden = true;
    this.status.textContent = `${this.state.vtime} s · no kernel`;
  }

  protected override answered(answer: Output, buffers: DataView[]): void {
    const view = buffers[0];
    if (!view) return;
    const data = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    if (answer.start > this.shown) {
      if (!answer.asked) {
        this.ask('output', { start: this.shown });
        return;
      }
      this.shown = answer.start; // older output was too much to send again
    }
    const fresh = data.subarray(this.shown - answer.start);
    this.shown += fresh.length;
    if (this.begun) {
      this.terminal.write(fresh);
    } else {
      this.begun = this.replaying = true;
      if (answer.first && !isTyped(document.activeElement)) this.terminal.focus();
      this.terminal.write(fresh, () => (this.replaying = false));
    }
  }

  // -- actions of the user

  private type(keys: string, binary: boolean): void {
    // Programs send queries to terminals. Only one page answers, and not queries from before it.
    if (this.replaying || !this.host.contains(document.activeElement)) return;
    this.ask('keys', binary ? { keys, binary } : { keys });
  }

  private isForTerminal(event: KeyboardEvent): boolean {
    if (event.key === 'Escape' && event.shiftKey) {
      event.preventDefault(); // this key leaves the terminal, but not the view
      if (event.type === 'keydown') (this.pass.hidden ? this.copy : this.pass).focus();
      return false;
    }
    const key = event.ctrlKey && !event.shiftKey && !event.altKey ? event.key.toLowerCase() : '';
    if (key === 's') event.preventDefault(); // saving, by habit; the shell would stop all output
    return !(key === 's' || (key === 'c' && this.terminal.hasSelection()));
  }

  private resize(): void {
    const size = this.fit.proposeDimensions();
    if (!size || !Number.isFinite(size.rows) || !Number.isFinite(size.cols)) return;
    this.ask('size', { rows: Math.max(size.rows, 2), columns: Math.max(size.cols, 10) });
  }
}

export default widget(TerminalView);
