// Elements, by few words. Whatever a log says becomes text nodes and nothing else.

export type Child = Node | string | false | null | undefined;
type Handler = (event: never) => void;
type Value = string | number | boolean | Handler | null | undefined;

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
