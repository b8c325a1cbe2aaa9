/** The cells for everything that can be clicked. All Python that this extension writes is here. */
import type { Job, Mark, Recording } from './state';
import { quoted, seconds } from './state';
import type { Model } from './model';

/** The message when nothing was chosen. */
export const CHOOSE = 'Choose an instant first: in the timeline, in a log, or in the panel.';
/** The same, when there is a moment and another is wanted. */
export const ANOTHER = 'Choose another instant in the timeline, in a log, or in the panel.';

export interface Action {
  /** The text of the button or menu entry. */
  label: string;
  code: string;
  /** Whether "here" is another instant after this action. */
  moves?: boolean;
  /** What tells its button from others with the same label. */
  key?: string;
}

export function open(path: string): Action {
  return { label: 'Open in this notebook', code: `run = bp.open(${quoted(path)})\nrun` };
}

/** Make the chosen instant the moment; null when there is nothing but the current moment. */
export function rewindHere(model: Model): Action | null {
  const here = !model.chosen && model.moment ? '' : model.hereCode;
  return here ? { label: 'Rewind here', code: `moment = ${here}\nmoment`, moves: true } : null;
}

export function rewind(model: Model, by: number): Action | null {
  const from = model.hereCode;
  if (!from) return null;
  return { label: `Rewind ${by} s`, code: `moment = ${from}.rewind(seconds=${by})\nmoment`, moves: true };
}

export function branchHere(model: Model): Action | null {
  const here = model.hereCode;
  return here ? { label: 'Branch here', code: `branch = ${here}.branch()\nbranch`, moves: true } : null;
}

/** The recording in which `terminalHere` opens one. */
export function terminalIn(model: Model): Recording | null {
  const { chosen, branch, moment, run } = model;
  if (chosen) return model.recording(chosen.run, chosen.path);
  const held = branch ?? moment;
  return (held && model.recording(held.run)) ?? run;
}

/** A terminal at the chosen instant; without one, at the tip of the branch that was used last. */
export function terminalHere(model: Model, container: string): Action | null {
  const where = quoted(container);
  if (model.branch && !model.chosen) {
    return { label: 'Terminal', code: `${model.branch.name}.terminal(${where})` };
  }
  const here = model.hereCode;
  if (!here) return null;
  return {
    label: 'Terminal',
    code: `branch = ${here}.branch()\nbranch.terminal(${where})`,
    moves: true
  };
}

export function timeline(model: Model): Action | null {
  return model.run && { label: 'Timeline', code: `${model.runCode}.timeline()` };
}

export function log(model: Model): Action | null {
  return model.run && { label: 'Log', code: `${model.runCode}.events.explore()` };
}

export function map(model: Model): Action | null {
  return model.run && { label: 'Map', code: `${model.runCode}.map()` };
}

/** How likely the recorded failure was, in the seconds before it. */
export function curve(model: Model): Action | null {
  const { run } = model;
  if (!run?.question || run.failure === null) return null;
  const start = seconds(Math.max(0, Math.floor(run.failure - 12)));
  return {
    label: 'Likelihood',
    code:
      `crash = ${run.question}\n` +
      `curve = ${model.runCode}.likelihood(crash, start=${start}, points=12)\n` +
      'curve'
  };
}

/** Why there is no curve to draw with one click, and how to draw another one. */
export function noCurve(run: Recording): string {
  const why =
    run.failure === null
      ? 'Nothing failed in this recording.'
      : 'This recording keeps only the name of what ended it.';
  return `${why} To ask for something else, in a cell: run.likelihood(failure(log="…"))`;
}

/** The exit of a container that is the recorded failure, otherwise the last exit. */
export function lastExit(run: Recording): Mark | null {
  const exits = run.marks.filter(mark => mark.type === 'container.exit');
  return exits.find(mark => mark.vtime === run.failure) ?? exits.at(-1) ?? null;
}

/** Make a branch again that no variable holds. */
export function reopen(model: Model, id: string): Action {
  return { label: 'Reopen', code: `branch = ${model.runCode}.at(${quoted(id)}).branch()\nbranch` };
}

export function attach(job: Job): Action {
  return { label: 'Attach', code: `jobs.attach(${job.number})` };
}
