/** A recording's timeline as one strip, with marks for events and for the current instant. */
import { h } from '../views/parts/dom';
import type { Model } from './model';
import { shown, type Recording } from './state';

const KEYS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10 };
const STEP = 0.1; // virtual s of an arrow key

/** `choose` is called with the vtime that was clicked or reached with the arrow keys. */
export function strip(run: Recording, model: Model, choose: (vtime: number) => void): HTMLElement {
  const share = (vtime: number) => `${Math.min(Math.max(vtime / run.duration, 0), 1) * 100}%`;
  const mark = (vtime: number, kind: string, title: string) =>
    h('span', { class: `bpl-tick bpl-${kind}`, style: `left: ${share(vtime)}`, title });
  const here = model.chosen?.vtime ?? model.moment?.vtime ?? run.failure ?? run.duration;
  const bar = h(
    'div',
    {
      class: 'bpl-strip',
      role: 'slider',
      tabindex: 0,
      'data-key': 'strip',
      'aria-label': 'Instant of the recording, in virtual seconds',
      'aria-valuemin': 0,
      'aria-valuemax': run.duration,
      'aria-valuenow': here,
      'aria-valuetext': shown(here),
      title: 'Click, or use the arrow keys, to choose an instant'
    },
    ...run.marks.map(each =>
      mark(each.vtime, kind(each.type), `${shown(each.vtime)} ${each.type} ${each.container}`)
    ),
    run.failure !== null && mark(run.failure, 'failure', `${shown(run.failure)} failure`),
    model.branch && mark(model.branch.end, 'tip', `${model.branch.name} at ${shown(model.branch.end)}`),
    mark(here, 'cursor', shown(here))
  );
  const within = (vtime: number) =>
    choose(Math.round(Math.min(Math.max(vtime, 0), run.duration) * 1e6) / 1e6);
  bar.addEventListener('click', event => {
    const box = bar.getBoundingClientRect();
    within(((event.clientX - box.left) / box.width) * run.duration);
  });
  bar.addEventListener('keydown', event => {
    const steps = KEYS[event.key];
    if (steps !== undefined) within(here + steps * STEP);
    else if (event.key === 'Home') within(0);
    else if (event.key === 'End') within(run.duration);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return bar;
}

function kind(type: string): string {
  if (type.startsWith('fault')) return 'fault';
  return type === 'container.exit' ? 'exit' : 'life';
}
