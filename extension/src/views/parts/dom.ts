// Short ways to make elements. Texts of a log only ever become text nodes.

export type Child = Node | string | false | null | undefined;
type Handler = (event: never) => void;
type Value = string | number | boolean | Handler | null | undefined;

/** An element. In `set`, functions listen to the event of their name; `true` has no value. */
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

/** Call `action` when a value was entered, with Enter or by leaving the field. */
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

/** A flag to show what earlier sessions kept with the recording; hidden if there is nothing. */
export class Earlier {
  readonly el: HTMLButtonElement;

  constructor(what: string, changed: (on: boolean) => void) {
    this.el = flag('Earlier', `Also show earlier ${what}, kept with the recording`, changed);
  }

  show(on: boolean, more: boolean): void {
    this.el.setAttribute('aria-pressed', String(on));
    this.el.hidden = !more;
  }
}

/** A button that copies a text to the clipboard and shows that it did. */
export function copyButton(
  title: string, text: () => string, label = 'Copy'
): HTMLButtonElement {
  const button = h('button', { class: 'bpv-button', type: 'button', title }, label);
  button.addEventListener('click', () => {
    void copy(text()).then(done => {
      button.textContent = done ? 'Copied' : 'Press Ctrl+C';
      setTimeout(() => (button.textContent = label), 1200);
    });
  });
  return button;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission, or a page without TLS: the user can still select the text
  }
}

export function number(count: number): string {
  return count.toLocaleString('en').replaceAll(',', '\u202f');
}
