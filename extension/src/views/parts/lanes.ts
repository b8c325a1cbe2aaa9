// A timeline on a canvas.
import type { Picture, State } from '../timeline';
import { plain } from './ansi';
import { sheetOf, type Colours, type Sheet } from './canvas';
import type { Scale } from './time';

export const LANE = 24; // px
export const AXIS = 34;
export const CURVE = 104;

export interface Look {
  left: number;
  top: number;
  scale: Scale;
}

interface Cursors {
  cursor: number | null;
  chosen: number | null;
  brush: [number, number] | null;
}

export const FAULTS = 5; // px from the top of a lane: the middle of a fault's sign
const SIGNS = 13; // the same of other signs
const LAST = ['exit', 'violation'];
const HUES = ['blue', 'magenta', 'cyan', 'yellow', 'green', 'red'] as const;

export function paintTimeline(
  canvas: HTMLCanvasElement, look: Look, state: State, picture: Picture, cursors: Cursors
): void {
  const sheet = sheetOf(canvas);
  if (sheet) new Painter(sheet, look, state, picture).paint(cursors);
}

class Painter {
  private c: CanvasRenderingContext2D;
  private colours: Colours;
  private width: number;
  private height: number;
  private scale: Scale;
  private bottom: number;

  constructor(
    sheet: Sheet,
    private look: Look,
    private state: State,
    private picture: Picture
  ) {
    this.c = sheet.context;
    this.colours = sheet.colours;
    this.width = sheet.width;
    this.height = sheet.height;
    this.scale = look.scale;
    this.bottom = look.top + state.lanes.length * LANE;
  }

  paint(cursors: Cursors): void {
    const { c } = this;
    this.grid();
    this.labels();
    c.save();
    c.beginPath();
    c.rect(this.scale.left - 1, 0, this.scale.width + 6, this.height);
    c.clip();
    this.ran();
    this.spans();
    this.lines();
    this.marks();
    this.checkpoints();
    if (this.look.top) this.curves();
    this.edges();
    this.cursors(cursors);
    c.restore();
  }

  private x(column: number): number {
    const { start, end, columns } = this.picture;
    return this.scale.x(start + (column * (end - start)) / columns);
  }

  private y(lane: number): number {
    return this.look.top + lane * LANE;
  }

  private grid(): void {
    const { c, colours } = this;
    this.state.lanes.forEach((_, lane) => {
      if (lane % 2 === 0) {
        c.fillStyle = colours.bg2;
        c.fillRect(0, this.y(lane), this.width, LANE);
      }
    });
    c.textBaseline = 'alphabetic';
    c.textAlign = 'center';
    for (const { at, text } of this.scale.ticks(90)) {
      const x = Math.round(this.scale.x(at)) + 0.5;
      c.strokeStyle = colours.line;
      this.stroke(x, this.look.top, x, this.bottom);
      c.fillStyle = colours.soft;
      const half = c.measureText(text).width / 2;
      const inside = Math.min(Math.max(x, this.scale.left + half), this.width - half);
      c.fillText(text, inside, this.height - 6);
    }
    c.strokeStyle = colours.edge;
    this.stroke(0, this.bottom + 0.5, this.width, this.bottom + 0.5);
    c.textAlign = 'right';
    c.fillStyle = colours.soft;
    c.fillText('virtual s', this.scale.left - 10, this.height - 6);
  }

  private labels(): void {
    const { c, colours } = this;
    c.textAlign = 'right';
    c.textBaseline = 'middle';
    this.state.lanes.forEach((name, lane) => {
      c.fillStyle = name.startsWith('(') ? colours.soft : colours.ink;
      const text = this.fit(plain(name), this.scale.left - 16, true);
      c.fillText(text, this.scale.left - 8, this.y(lane) + LANE / 2);
    });
  }

  /** A text, cut to so many pixels; a name keeps its end, other texts their beginning. */
  private fit(text: string, width: number, isName = false): string {
    if (this.c.measureText(text).width <= width) return text;
    const cut = (length: number) =>
      isName ? `…${text.slice(text.length - length)}` : `${text.slice(0, length)}…`;
    let length = text.length;
    while (length > 1 && this.c.measureText(cut(length)).width > width) length--;
    return cut(length);
  }

  private spans(): void {
    const { c, colours } = this;
    for (const [lane, start, end, what] of this.picture.states) {
      const y = this.y(lane) + LANE - 5;
      const left = this.x(start);
      const width = Math.max(this.x(end) - left, 1);
      if (what === 'running') c.fillStyle = colours.green;
      else if (what === 'paused') c.fillStyle = colours.yellow;
      else c.fillStyle = colours.red;
      c.globalAlpha = what === 'exited' ? 0.35 : 0.6;
      c.fillRect(left, y, width, what === 'exited' ? 1 : 3);
    }
    c.globalAlpha = 1;
    c.textAlign = 'left';
    c.textBaseline = 'middle';
    for (const [lane, start, end, what] of this.picture.faults) {
      const left = this.x(start);
      const width = Math.max(this.x(end) - left, 2);
      c.globalAlpha = 0.28;
      c.fillStyle = colours.yellow;
      c.fillRect(left, this.y(lane) + 2, width, LANE - 8);
      c.globalAlpha = 1;
      if (width > 60) {
        const words = plain(what).replace(/^\S+ s {2}/, '');
        c.fillStyle = colours.ink;
        c.fillText(this.fit(words, width - 18), left + 14, this.y(lane) + SIGNS);
      }
    }
  }

  /** Tints the lanes where they have the processor, and names who has it for long. */
  private ran(): void {
    const { c, colours } = this;
    const { columns, ran, turns } = this.picture;
    if (!ran.byteLength) return;
    const wide = Math.max(this.x(1) - this.x(0), 1);
    c.fillStyle = colours.blue;
    this.state.lanes.forEach((_, lane) => {
      for (let column = 0; column < columns; column++) {
        const share = ran.getUint8(lane * columns + column);
        if (!share) continue;
        c.globalAlpha = 0.15 + (0.45 * share) / 255;
        c.fillRect(this.x(column), this.y(lane) + 1, wide, LANE - 2);
      }
    });
    c.globalAlpha = 1;
    c.textAlign = 'left';
    c.textBaseline = 'middle';
    c.fillStyle = colours.ink;
    for (const [lane, start, end, what] of turns) {
      const left = this.x(start);
      const width = this.x(end) - left;
      if (width > 50) c.fillText(this.fit(plain(what), width - 8), left + 4, this.y(lane) + SIGNS);
    }
  }

  private lines(): void {
    const { c, colours } = this;
    const { columns, lines, errors } = this.picture;
    const high = LANE - 9;
    const wide = Math.max(this.x(1) - this.x(0), 1);
    this.state.lanes.forEach((_, lane) => {
      const foot = this.y(lane) + LANE - 6;
      for (let column = 0; column < columns; column++) {
        const level = lines.getUint8(lane * columns + column);
        if (!level) continue;
        const x = this.x(column);
        const bad = errors.getUint8(lane * columns + column);
        c.globalAlpha = 0.75;
        c.fillStyle = colours.soft;
        c.fillRect(x, foot, wide, -Math.max((level / 255) * high, 2));
        if (bad) {
          c.fillStyle = colours.red;
          c.fillRect(x, foot, wide, -Math.max((bad / 255) * high, 2));
        }
      }
    });
    c.globalAlpha = 1;
  }

  private marks(): void {
    // The most important marks are drawn last; faults have a row of their own.
    const last = (kind: string) => Number(LAST.includes(kind));
    const marks = [...this.picture.marks].sort((a, b) => last(a[2]) - last(b[2]));
    for (const [lane, , kind, at] of marks) {
      this.sign(kind, this.scale.x(at), this.y(lane) + (kind === 'fault' ? FAULTS : SIGNS));
    }
  }

  private sign(kind: string, x: number, y: number): void {
    const { c, colours } = this;
    c.lineWidth = 2;
    if (kind === 'exit' || kind === 'violation') {
      c.strokeStyle = colours.bg;
      c.lineWidth = 5;
      this.cross(x, y, 4);
      c.lineWidth = 2;
      c.strokeStyle = colours.red;
      this.cross(x, y, 4);
    } else if (kind === 'fault') {
      this.shape(colours.yellow, [x, y - 4.5], [x + 4.5, y], [x, y + 4.5], [x - 4.5, y]);
    } else if (kind === 'start' || kind === 'restart') {
      this.shape(colours.green, [x - 1, y - 4], [x + 5, y], [x - 1, y + 4]);
    } else if (kind === 'pause') {
      c.strokeStyle = colours.yellow;
      this.stroke(x - 2, y - 4, x - 2, y + 4);
      this.stroke(x + 2, y - 4, x + 2, y + 4);
    } else {
      c.fillStyle = colours.soft;
      c.beginPath();
      c.arc(x, y, 2.5, 0, 7);
      c.fill();
    }
    c.lineWidth = 1;
  }

  private cross(x: number, y: number, size: number): void {
    this.stroke(x - size, y - size, x + size, y + size);
    this.stroke(x - size, y + size, x + size, y - size);
  }

  private shape(colour: string, ...points: [number, number][]): void {
    const { c } = this;
    c.beginPath();
    points.forEach(([x, y]) => c.lineTo(x, y));
    c.closePath();
    c.fillStyle = colour;
    c.fill();
    c.lineWidth = 1;
    c.strokeStyle = this.colours.bg;
    c.stroke();
  }

  private checkpoints(): void {
    for (const column of this.picture.checkpoints) {
      const x = this.x(column);
      const y = this.bottom;
      const { c } = this;
      c.beginPath();
      c.moveTo(x, y + 2);
      c.lineTo(x + 3, y + 8);
      c.lineTo(x - 3, y + 8);
      c.closePath();
      c.strokeStyle = this.colours.blue;
      c.stroke();
    }
  }

  private curves(): void {
    const { c, colours } = this;
    const y = (p: number) => 20 + (1 - p) * (CURVE - 32);
    c.textBaseline = 'middle';
    for (const p of [0, 0.5, 1]) {
      c.strokeStyle = colours.line;
      this.stroke(this.scale.left, y(p), this.width, y(p));
    }
    this.state.curves.forEach(({ failure, points }, i) => {
      const colour = colours[HUES[i % HUES.length]!];
      const xs = points.map(([at]) => this.scale.x(at));
      c.beginPath();
      points.forEach(([, , low], j) => c.lineTo(xs[j]!, y(low)));
      [...points].reverse().forEach(([, , , high], j) => {
        c.lineTo(xs[xs.length - 1 - j]!, y(high));
      });
      c.fillStyle = colour;
      c.globalAlpha = 0.18;
      c.fill();
      c.globalAlpha = 1;
      c.beginPath();
      points.forEach(([, p], j) => c.lineTo(xs[j]!, y(p)));
      c.strokeStyle = colour;
      c.lineWidth = 1.5;
      c.stroke();
      points.forEach(([, p], j) => {
        c.beginPath();
        c.arc(xs[j]!, y(p), 2.6, 0, 7);
        c.fillStyle = colours.bg;
        c.fill();
        c.stroke();
      });
      c.lineWidth = 1;
      c.textAlign = 'left';
      c.fillStyle = colour;
      c.fillText(this.fit(`P(${plain(failure)})`, 300), this.scale.left + 4 + i * 310, 8);
    });
    c.restore();
    c.save();
    c.textAlign = 'right';
    c.fillStyle = colours.soft;
    for (const p of [0, 0.5, 1]) c.fillText(String(p), this.scale.left - 8, y(p));
    c.beginPath();
    c.rect(this.scale.left - 1, 0, this.scale.width + 6, this.height);
    c.clip();
  }

  private edges(): void {
    const { c, colours, state } = this;
    c.textBaseline = 'alphabetic';
    for (const [at, colour, text] of [
      [state.failure, colours.red, 'failure'],
      [state.fork, colours.brand, 'fork']
    ] as const) {
      if (at === null) continue;
      const x = Math.round(this.scale.x(at)) + 0.5;
      c.strokeStyle = colour;
      c.setLineDash([4, 3]);
      this.stroke(x, 0, x, this.bottom);
      c.setLineDash([]);
      const flipped = x > this.width - 60;
      c.textAlign = 'left';
      const { width } = c.measureText(text);
      const left = flipped ? x - 4 - width : x + 4;
      c.fillStyle = colours.bg;
      c.fillRect(left - 2, this.bottom - 14, width + 4, 13);
      c.fillStyle = colour;
      c.fillText(text, left, this.bottom - 4);
    }
  }

  private cursors({ cursor, chosen, brush }: Cursors): void {
    const { c, colours } = this;
    if (brush) {
      const [from, to] = brush.map(at => this.scale.x(at)) as [number, number];
      c.fillStyle = colours.brand;
      c.globalAlpha = 0.2;
      c.fillRect(from, 0, to - from, this.bottom);
      c.globalAlpha = 1;
    }
    if (cursor !== null) {
      c.strokeStyle = colours.soft;
      const x = Math.round(this.scale.x(cursor)) + 0.5;
      this.stroke(x, 0, x, this.bottom);
    }
    if (chosen !== null) {
      const x = Math.round(this.scale.x(chosen)) + 0.5;
      c.strokeStyle = colours.brand;
      c.lineWidth = 2;
      this.stroke(x, 0, x, this.bottom);
      this.shape(colours.brand, [x - 5, this.bottom + 8], [x, this.bottom], [x + 5, this.bottom + 8]);
    }
  }

  private stroke(x: number, y: number, toX: number, toY: number): void {
    this.c.beginPath();
    this.c.moveTo(x, y);
    this.c.lineTo(toX, toY);
    this.c.stroke();
  }
}
