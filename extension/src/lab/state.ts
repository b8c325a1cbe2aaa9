/** What the kernel tells: kernel/branchpoint/notebook/state.py says the same in Python. */

export interface Mark {
  vtime: number;
  type: string;
  /** What it is called where there is little room. */
  word: string;
  container: string;
  text: string;
}

export interface Recording {
  /** The variable that holds it; empty when only a moment or a branch of it is held. */
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
  futures: { id: string; vtime: number; title: string }[];
}

export interface Moment {
  name: string;
  run: string;
  vtime: number;
}

export interface Branch {
  name: string;
  run: string;
  parent: string | null;
  start: number;
  end: number;
}

export interface Job {
  number: number;
  name: string;
  state: 'running' | 'done' | 'failed' | 'stopped';
  background: boolean;
  /** The cell that it is, and the message that asked to run it; empty for one in the background. */
  cell: string;
  request: string;
  elapsed: number;
  task: string;
  note: string;
  fraction: number | null;
  remaining: number | null;
}

export interface State {
  format: 1;
  busy: boolean;
  folder: string;
  recordings: Recording[];
  moments: Moment[];
  branches: Branch[];
  latest: Partial<Record<'Recording' | 'Moment' | 'Branch', string>>;
  /** What was chosen last in a view; `number` tells one choice from the next. */
  chosen: { number: number; run: string; vtime: number; id: string } | null;
  jobs: Job[];
  /** Virtual seconds a second. */
  speed: number | null;
}

/** Virtual seconds as Python prints them: without needless zeros, to the nanosecond. */
export function seconds(vtime: number): string {
  const text = vtime.toFixed(9).replace(/0+$/, '');
  return text.endsWith('.') ? `${text}0` : text;
}

/** The same for people. */
export function shown(vtime: number): string {
  return `${vtime.toFixed(3)} s`;
}

/** A Python string. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}
