// Terminal colours as classes. All other control sequences are dropped and all other control
// characters are made visible, so that a text in a log can neither hide something nor do anything.

const SEQUENCE =
  // eslint-disable-next-line no-control-regex
  /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])/g;
const UNSEEN =
  // eslint-disable-next-line no-control-regex
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const STYLES: Record<number, string> = { 1: 'bold', 2: 'dim', 3: 'italic', 4: 'under', 7: 'swap' };

class Pen {
  ink = -1;
  paper = -1;
  styles = new Set<string>();

  get className(): string {
    const names = [...this.styles].map(style => `bpv-${style}`);
    if (this.ink >= 0) names.push(`bpv-ink${this.ink}`);
    if (this.paper >= 0) names.push(`bpv-paper${this.paper}`);
    return names.join(' ');
  }

  obey(parameters: string): void {
    const codes = parameters.split(/[;:]/).map(Number);
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i] ?? 0;
      const ten = Math.floor(code / 10);
      if (code === 0) {
        this.ink = this.paper = -1;
        this.styles.clear();
      } else if (STYLES[code]) {
        this.styles.add(STYLES[code]);
      } else if (code === 22) {
        this.styles.delete('bold');
        this.styles.delete('dim');
      } else if (code > 22 && code < 28) {
        this.styles.delete(STYLES[code - 20] ?? '');
      } else if (code === 38 || code === 48) {
        const wide = codes[i + 1] === 2;
        const colour = wide
          ? nearest(codes[i + 2], codes[i + 3], codes[i + 4])
          : indexed(codes[i + 2] ?? 0);
        i += wide ? 4 : 2;
        if (code === 38) this.ink = colour;
        else this.paper = colour;
      } else if (ten === 3 || ten === 9) {
        this.ink = code % 10 < 8 ? code % 10 : -1;
      } else if (ten === 4 || ten === 10) {
        this.paper = code % 10 < 8 ? code % 10 : -1;
      }
    }
  }
}

/** For one of 256 colours, the most similar of eight colours that are readable in any theme. */
function indexed(code: number): number {
  if (code < 16) return code % 8;
  if (code >= 232) return code < 244 ? 0 : 7;
  const cube = code - 16;
  return nearest(
    Math.floor(cube / 36) * 51,
    (Math.floor(cube / 6) % 6) * 51,
    (cube % 6) * 51
  );
}

function nearest(red = 0, green = 0, blue = 0): number {
  const most = Math.max(red, green, blue);
  if (most < 64) return 0;
  return [red, green, blue].reduce((bits, part, i) => bits | (part > most / 2 ? 1 << i : 0), 0);
}

/** The text as it is shown: without control sequences, with control characters made visible. */
export function plain(text: string): string {
  return text.replace(SEQUENCE, '').replace(UNSEEN, visible);
}

function visible(character: string): string {
  const code = character.charCodeAt(0);
  return code < 256
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Put `text` into `el`, in its colours, and mark all matches of `mark`. */
export function paint(el: HTMLElement, text: string, mark: RegExp | null = null): void {
  if (!text.includes('\x1b') && !mark) {
    el.textContent = text.replace(UNSEEN, visible);
    return;
  }
  el.textContent = '';
  const pen = new Pen();
  let from = 0;
  SEQUENCE.lastIndex = 0;
  for (const found of text.matchAll(SEQUENCE)) {
    add(el, text.slice(from, found.index), pen, mark);
    from = found.index + found[0].length;
    if (found[2] === 'm') pen.obey(found[1] ?? '');
  }
  add(el, text.slice(from), pen, mark);
}

function add(el: HTMLElement, text: string, pen: Pen, mark: RegExp | null): void {
  if (!text) return;
  const shown = text.replace(UNSEEN, visible);
  const className = pen.className;
  let target = el;
  if (className) {
    target = document.createElement('span');
    target.className = className;
    el.append(target);
  }
  let from = 0;
  for (const found of mark ? shown.matchAll(mark) : []) {
    if (!found[0]) continue;
    const marked = document.createElement('mark');
    marked.textContent = found[0];
    target.append(shown.slice(from, found.index), marked);
    from = found.index + found[0].length;
  }
  target.append(shown.slice(from));
}
