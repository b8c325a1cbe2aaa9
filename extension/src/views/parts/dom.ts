// Elements, by few words. Whatever a log says becomes text nodes and nothing else.
import css from './views.css';

type Child = Node | string | false | null | undefined;
type Handler = (event: never) => void;
type Value = string | number | boolean | Handler | null | undefined;

const STYLE = 'branchpoint-views';
const DEAF = 'data-lm-suppress-shortcuts';

/** An element. A function among `set` listens to the event of its name; `true` is a bare attribute. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  set: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (typeof value === 'function') {
      el.addEventListener(name, value as EventListener);
    } else if (value !== false && value !== null && value !== undefined) {
      el.setAttribute(name, value === true ? '' : String(value));
    }
  }
  el.append(...children.filter(child => child !== false && child !== null && child !== undefined));
  return el;
}

/** The same in SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  set: Record<string, string | number> = {},
  ...children: Node[]
): SVGElementTagNameMap[K] {
  const el = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(set)) {
    el.setAttribute(name, String(value));
  }
  el.append(...children);
  return el;
}

/** The outermost element of a view: styled, dark where the page is, deaf to JupyterLab's keys. */
export function frame(
  el: HTMLElement,
  label: string,
  children: Child[],
  adapted: () => void = () => undefined
): () => void {
  if (!document.getElementById(STYLE)) {
    const style = h('style', { id: STYLE });
    style.textContent = css;
    document.head.append(style);
  }
  const root = h(
    'div',
    { class: 'bpv', role: 'region', 'aria-label': label, [DEAF]: 'true' },
    ...children
  );
  root.addEventListener('keydown', event => {
    if (event.key !== 'Escape' || event.defaultPrevented) return;
    // Back to the cell, whose keys are JupyterLab's.
    const cell = root.parentElement?.closest<HTMLElement>('[tabindex]');
    if (cell) cell.focus();
    else (document.activeElement as HTMLElement | null)?.blur();
  });
  el.replaceChildren(root);
  // JupyterLab asks for the attribute after the window's listeners have run.
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
  return () => {
    window.removeEventListener('keydown', hear, true);
    observer.disconnect();
  };
}

/** Keys of commands (the palette's, ours) are no input, except in a terminal. */
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

/** Have `action` called when a value was given: by Enter, or by leaving the field. */
export function whenGiven(field: HTMLInputElement, action: (value: string) => void): void {
  let last = field.value;
  const give = () => {
    if (field.value === last) return;
    last = field.value;
    action(last.trim());
  };
  field.addEventListener('change', give);
  field.addEventListener('keydown', event => {
    if (event.key === 'Enter') give();
  });
  field.addEventListener('focus', () => (last = field.value));
}

/** A button that stays pressed until it is clicked again. */
export function flag(
  text: string, title: string, changed: (on: boolean) => void
): HTMLButtonElement {
  const button = h('button', {
    class: 'bpv-button', type: 'button', title, 'aria-label': title, 'aria-pressed': 'false'
  }, text);
  button.addEventListener('click', () => {
    const on = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(on));
    changed(on);
  });
  return button;
}

/** A flag for what is kept with the recording from before; hidden while there is nothing. */
export class Earlier {
  readonly el: HTMLButtonElement;

  constructor(what: string, changed: (on: boolean) => void) {
    this.el = flag('Earlier', `Also ${what} kept with the recording from before`, changed);
  }

  show(on: boolean, more: boolean): void {
    this.el.setAttribute('aria-pressed', String(on));
    this.el.hidden = !more;
  }
}

/** A button that puts a text on the clipboard and says so. */
export function copyButton(title: string, text: () => string): HTMLButtonElement {
  const button = h('button', { class: 'bpv-button', type: 'button', title }, 'Copy');
  button.addEventListener('click', () => {
    void copy(text()).then(done => {
      button.textContent = done ? 'Copied' : 'Press Ctrl+C';
      setTimeout(() => (button.textContent = 'Copy'), 1200);
    });
  });
  return button;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission, or a page without TLS: the text can still be marked by hand
  }
}

export function number(count: number): string {
  return count.toLocaleString('en').replaceAll(',', '\u202f');
}
