/** The status bar: recording, branch, virtual time, whether it runs and how fast. */
import { Widget } from '@lumino/widgets';
import { h } from '../views/parts/dom';
import { branchIcon } from './icons';
import type { Model } from './model';
import { shown } from './state';

export class Status extends Widget {
  private text = h('span');

  constructor(
    private model: Model,
    show: () => void
  ) {
    super();
    this.addClass('bpl-status');
    const button = h(
      'button',
      { class: 'bpl-status-button', 'aria-label': 'Branchpoint', click: show },
      branchIcon.element({ tag: 'span', className: 'bpl-status-icon' }),
      this.text
    );
    this.node.append(button);
    model.changed.connect(() => this.draw());
    this.draw();
  }

  private draw(): void {
    const words = this.words();
    this.text.textContent = words;
    this.node.title = `Branchpoint: ${words}. Click for its panel.`;
    this.node.firstElementChild?.setAttribute('aria-label', `Branchpoint: ${words}`);
  }

  private words(): string {
    const { state, run, branch, moment } = this.model;
    const moving = state?.moving;
    if (!state) return 'no kernel';
    if (!run) return 'no recording open';
    const name = run.path.split('/').pop()?.replace(/\.branchpoint$/, '') ?? '';
    const place = moving
      ? `${moving.name || `a branch from ${shown(moving.start)}`} ${shown(moving.end)}`
      : branch
        ? `${branch.name} ${shown(branch.end)}`
        : moment
          ? `${moment.name} ${shown(moment.vtime)}`
          : shown(run.duration);
    const runs = state.busy || state.jobs.some(job => job.state === 'running');
    const speed = state.speed === null ? '' : ` ${Number(state.speed.toPrecision(2))}×`;
    return `${name} · ${place} · ${runs ? `running${speed}` : `paused${speed && `, was${speed}`}`}`;
  }
}
