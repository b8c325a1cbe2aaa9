// Branches over time, one per row; each line starts at its parent, where the branch was made.
import type { Node } from '../map';
import { sheetOf, type Sheet } from './canvas';
import type { Scale } from './time';

export const ROW = 22; // px
const BAR = 10;

export function paintTree(canvas: HTMLCanvasElement, nodes: Node[], scale: Scale): void {
  const sheet = sheetOf(canvas);
  if (!sheet) return;
  const { context: c, colours, height } = sheet;
  const y = (row: number) => (row + 1.5) * ROW;
  c.textAlign = 'center';
  c.textBaseline = 'middle';
  for (const { at, text } of scale.ticks(80)) {
    const x = Math.round(scale.x(at)) + 0.5;
    c.fillStyle = colours.soft;
    c.fillText(text, x, ROW / 2);
    c.strokeStyle = colours.line;
    line(c, [x, ROW], [x, height]);
  }
  nodes.forEach(([, start, , parent], row) => {
    if (parent < 0) return;
    const x = scale.x(start);
    c.strokeStyle = colours.edge;
    line(c, [x, y(parent)], [x, y(row)]);
  });
  nodes.forEach((node, row) => paintNode(sheet, node, scale.x(node[1]), scale.x(node[2]), y(row)));
}

function paintNode(sheet: Sheet, node: Node, from: number, to: number, y: number): void {
  const { context: c, colours } = sheet;
  const [kind, , , , , verdict, , counts] = node;
  const colour =
    kind === 'recording' ? colours.ink
      : verdict === 'failed' ? colours.red
        : verdict === 'passed' ? colours.green : colours.blue;
  if (kind === 'futures') {
    const total = Math.max(counts[0] + counts[1] + counts[2], 1);
    let top = y - BAR / 2;
    [colours.red, colours.green, colours.soft].forEach((part, i) => {
      const high = (counts[i]! / total) * BAR;
      c.fillStyle = part;
      c.fillRect(from, top, Math.max(to - from, 2), high);
      top += high;
    });
    return;
  }
  c.strokeStyle = colour;
  c.lineWidth = kind === 'recording' ? 3 : 2;
  if (kind === 'noted') c.setLineDash([3, 3]);
  line(c, [from, y], [Math.max(to, from + 2), y]);
  c.setLineDash([]);
  c.lineWidth = 1;
  c.fillStyle = colour;
  c.beginPath();
  c.arc(Math.max(to, from + 2), y, 3.5, 0, 7);
  c.fill();
}

function line(c: CanvasRenderingContext2D, from: [number, number], to: [number, number]): void {
  c.beginPath();
  c.moveTo(...from);
  c.lineTo(...to);
  c.stroke();
}
