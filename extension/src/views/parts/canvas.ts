// A canvas with the resolution of the screen, and the colours of the view that it is in.

const NAMES = [
  'bg', 'bg2', 'line', 'edge', 'ink', 'soft', 'brand', 'red', 'green', 'yellow', 'blue',
  'magenta', 'cyan'
] as const;

export type Colours = Record<(typeof NAMES)[number], string>;

export interface Sheet {
  context: CanvasRenderingContext2D;
  colours: Colours;
  width: number;
  height: number;
}

/** The canvas, cleared, with its size in CSS px; null while it is not on the page. */
export function sheetOf(canvas: HTMLCanvasElement): Sheet | null {
  const context = canvas.getContext('2d');
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!context || !width || !height) return null;
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '11px system-ui, sans-serif';
  const style = getComputedStyle(canvas);
  const colours = Object.fromEntries(
    NAMES.map(name => [name, style.getPropertyValue(`--${name}`).trim() || '#888'])
  ) as Colours;
  return { context, colours, width, height };
}
