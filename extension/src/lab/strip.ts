/** A recording's timeline as one strip, with marks for events and for the current instant. */
import { h } from '../views/parts/dom';
import type { Model } from './model';
import { shown, type Branch, type Recording } from './state';

const KEYS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10 };
const STEP = 0.1; // virtual s of an arrow key

/** `choose` is called with the vtime that was clicked or reached with the arrow keys. */
export function strip(run: Recording, model: Model, choose: (vtime: number) => void): HTMLElement {
  const mark = (vtime: number, kind: string, title: string) =>
    h('span', { class: `bpl-tick bpl-${kind}`, style: `left: ${share(run, vtime)}`, title });
  const { chosen, moment, branch } = model;
  // The moment and the branch that were used last may be of another recording.
  const isHere = (held: { run: string }) => model.recording(held.run)?.path === run.path;
  const here =
    (chosen?.path === run.path ? chosen.vtime : null) ??
    (moment && isHere(moment) ? moment.vtime : null) ??
    run.failure ??
    run.duration;
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
    branch && isHere(branch) && h('span', { class: 'bpl-tick bpl-tip' }),
    mark(here, 'cursor', shown(here))
  );
  const within = (vtime: number) =>
    choose(Math.round(Math.min(Math.max(vtime, 0), run.duration) * 1e6) / 1e6);
  bar.addEventListener('click', event => {
    const box = bar.getBoundingClientRect();
    within(((event.clientX - box.left) / box.width) * run.duration);
  });
  bar.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
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

/** Put the mark of the branch's tip to where the branch is now, if `within` has a strip with one. */
export function moveTip(within: HTMLElement, run: Recording, branch: Branch): void {
  const tip = within.querySelector<HTMLElement>('.bpl-tip');
  if (!tip) return;
  tip.style.left = share(run, branch.end);
  tip.title = `${branch.name} at ${shown(branch.end)}`;
}

/** Where an instant is, from left to right. */
function share(run: Recording, vtime: number): string {
  return `${Math.min(Math.max(vtime / run.duration, 0), 1) * 100}%`;
}

function kind(type: string): string {
  if (type.startsWith('fault')) return 'fault';
  return type === 'container.exit' ? 'exit' : 'life';
}
