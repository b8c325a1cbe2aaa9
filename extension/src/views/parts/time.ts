// Virtual time on an axis: ns inside, seconds when shown.

export const SECOND = 1e9;

/** A stretch of ns since vtime 0, over some pixels. */
export class Scale {
  constructor(
    readonly start: number,
    readonly end: number,
    readonly left: number,
    readonly width: number
  ) {}

  x(at: number): number {
    return this.left + ((at - this.start) / Math.max(this.end - this.start, 1)) * this.width;
  }

  at(x: number): number {
    const part = (x - this.left) / Math.max(this.width, 1);
    return Math.round(this.start + Math.min(Math.max(part, 0), 1) * (this.end - this.start));
  }

  /** Instants with round values, at least `apart` px from each other. */
  ticks(apart: number): { at: number; text: string }[] {
    const least = ((this.end - this.start) / Math.max(this.width, 1)) * apart;
    const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
    const step = [1, 2, 5, 10].map(n => n * power).find(size => size >= least) ?? power * 10;
    const decimals = Math.max(0, Math.ceil(9 - Math.log10(step) - 1e-9));
    const found = [];
    for (let at = Math.ceil(this.start / step) * step; at <= this.end; at += step) {
      found.push({ at, text: (at / SECOND).toFixed(decimals) });
    }
    return found;
  }
}

/** Seconds, with as many decimals as pixels can show. */
export function seconds(at: number, perPixel = 1000): string {
  const decimals = Math.min(Math.max(Math.ceil(9 - Math.log10(Math.max(perPixel, 1))), 3), 9);
  return (at / SECOND).toFixed(decimals);
}
