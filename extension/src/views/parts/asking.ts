// Messages to the kernel, and a word to the user while it is too busy to answer.
import type { AnyModel } from '@anywidget/types';

const PATIENCE = 800; // ms

export class Asking {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private model: AnyModel,
    private busy: (busy: boolean) => void
  ) {}

  ask(what: string, rest: Record<string, unknown> = {}): void {
    this.model.send({ ask: what, ...rest });
    this.timer ??= setTimeout(() => this.busy(true), PATIENCE);
  }

  /** The kernel said something. */
  answered(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.busy(false);
  }
}
