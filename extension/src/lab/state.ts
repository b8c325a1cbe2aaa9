/** The state that the kernel sends. kernel/branchpoint/notebook/state.py makes it. */

export interface Mark {
  vtime: number;
  type: string;
  /** A short name for it. */
  word: string;
  container: string;
  text: string;
}

export interface Recording {
  /** The variable that holds it; empty when variables only hold a moment or branch of it. */
  name: string;
  /** Relative to the kernel's folder. */
  path: string;
  title: string;
  duration: number;
  seed: number;
  events: number;
  failure: number | null;
  ended: string;
  containers: string[];
  marks: Mark[];
  /** Python for the failure that ended it; "" when nothing did, or when that is not known. */
  question: string;
  /** The branches that are in use or were shown since it was opened, as its map has them. */
  branches: Listed[];
  /** Those that were kept with it before. */
  earlier: Listed[];
  /** How many more there are, of both. */
  unlisted: number;
}

/** A branch as the panel lists it. */
export interface Listed {
  /** The variable that holds it, or "". */
  name: string;
  /** What makes it again, or "" while it is in use. */
  id: string;
  title: string;
  /** How many branches it is below. */
  depth: number;
  start: number;
  end: number;
}

export interface Moment {
  name: string;
  run: string;
  vtime: number;
}

/** A branch that a variable holds. */
export interface Branch {
  name: string;
  run: string;
  end: number;
}

export interface Job {
  number: number;
  name: string;
  state: 'running' | 'done' | 'failed' | 'stopped';
  background: boolean;
  /** Ids of its cell and of the message that started the cell; empty for a background job. */
  cell: string;
  request: string;
  elapsed: number;
  task: string;
  note: string;
  fraction: number | null;
  remaining: number | null;
}

export interface State {
  format: 2;
  busy: boolean;
  folder: string;
  recordings: Recording[];
  moments: Moment[];
  branches: Branch[];
  /** The branch in which time passes now; its name is "" when no variable holds it. */
  moving: { name: string; start: number; end: number } | null;
  latest: Partial<Record<'Recording' | 'Moment' | 'Branch', string>>;
  /** The moment chosen last in a view; `number` is different for each choice. */
  chosen: { number: number; run: string; path: string; vtime: number; id: string } | null;
  jobs: Job[];
  /** Virtual seconds per wall second. */
  speed: number | null;
}

/** Virtual seconds as Python prints them: to the nanosecond, without trailing zeros. */
export function seconds(vtime: number): string {
  const text = vtime.toFixed(9).replace(/0+$/, '');
  return text.endsWith('.') ? `${text}0` : text;
}

/** Virtual seconds for display. */
export function shown(vtime: number): string {
  return `${vtime.toFixed(3)} s`;
}

/** A text as a Python string literal. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}
