// A button that opens a list of names with counts, of which several can be ticked.
import { plain } from './ansi';
import { h, number } from './dom';

export type Entry = [name: string, count: number];

export class Menu {
  readonly el: HTMLElement;
  private button: HTMLButtonElement;
  private panel: HTMLElement;
  private entries: Entry[] = [];
  private ticked = new Set<string>();

  constructor(
    private title: string,
    private changed: (names: string[]) => void
  ) {
    this.button = h('button', {
      class: 'bpv-button', type: 'button', 'aria-haspopup': 'true', 'aria-expanded': 'false',
      click: () => this.toggle(this.panel.hidden)
    });
    this.panel = h('div', { class: 'bpv-panel', role: 'group', 'aria-label': title, hidden: true });
    this.el = h(
      'div',
      {
        class: 'bpv-menu',
        keydown: (event: KeyboardEvent) => this.pressed(event),
        focusout: (event: FocusEvent) => {
          if (!this.el.contains(event.relatedTarget as Node | null)) this.toggle(false);
        }
      },
      this.button,
      this.panel
    );
    this.label();
  }

  set(entries: Entry[], ticked: string[]): void {
    this.ticked = new Set(ticked);
    this.entries = entries;
    if (this.panel.hidden) this.fill();
    this.label();
  }

  private label(): void {
    const [only = ''] = this.ticked;
    const what = this.ticked.size === 1 ? plain(only) : `${this.ticked.size} of ${this.entries.length}`;
    this.button.textContent = this.ticked.size ? `${this.title}: ${what} ▾` : `${this.title} ▾`;
    this.button.classList.toggle('bpv-active', this.ticked.size > 0);
  }

  private fill(): void {
    const known = new Set(this.entries.map(([name]) => name));
    const given: Entry[] = [...this.ticked].filter(name => !known.has(name)).map(name => [name, 0]);
    this.panel.replaceChildren(
      ...[...this.entries, ...given].map(([name, count]) => {
        const box = h('input', { type: 'checkbox', checked: this.ticked.has(name) });
        box.addEventListener('change', () => {
          if (box.checked) this.ticked.add(name);
          else this.ticked.delete(name);
          this.label();
          this.changed([...this.ticked]);
        });
        return h('label', {}, box, plain(name), h('span', { class: 'bpv-count' }, number(count)));
      })
    );
  }

  private toggle(open: boolean): void {
    if (open) this.fill();
    this.panel.hidden = !open;
    this.button.setAttribute('aria-expanded', String(open));
    if (open) this.panel.querySelector('input')?.focus();
  }

  private pressed(event: KeyboardEvent): void {
    if (this.panel.hidden) return;
    const boxes = [...this.panel.querySelectorAll('input')];
    const at = boxes.indexOf(document.activeElement as HTMLInputElement);
    if (event.key === 'Escape') {
      this.toggle(false);
      this.button.focus();
    } else if (event.key === 'ArrowDown') {
      boxes[Math.min(at + 1, boxes.length - 1)]?.focus();
    } else if (event.key === 'ArrowUp') {
      boxes[Math.max(at - 1, 0)]?.focus();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
