/** The current notebook: the state of its kernel, and the chosen instant. */
import type { CodeCell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { PathExt } from '@jupyterlab/coreutils';
import { Signal, type ISignal } from '@lumino/signaling';
import { Connection } from './connection';
import { resume } from './resuming';
import { quoted, seconds, type Branch, type Moment, type Recording, type State } from './state';

export const KERNEL = 'branchpoint';
const MAIN = 'main@'; // ids of the recording itself begin with this

/** Why there is nothing to show, and what to do about it. */
export type Trouble = { what: string; remedy: string } | null;

/** An instant that was chosen in the panel or in a view. */
export interface Chosen {
  /** The recording: its variable, and its path, because the variable may get another recording. */
  run: string;
  path: string;
  vtime: number;
  container: string;
  /** The id of the moment, if the instant is in a branch. */
  id?: string;
}

export class Model {
  private connection: Connection | null = null;
  private resumed = new Set<string>(); // requests whose cells this page follows
  private panel: NotebookPanel | null = null;
  private _state: State | null = null;
  private _trouble: Trouble = NOTHING_OPEN;
  private _chosen: Chosen | null = null;
  private _changed = new Signal<this, void>(this);

  constructor(tracker: INotebookTracker) {
    tracker.currentChanged.connect((_, panel) => this.follow(panel));
    this.follow(tracker.currentWidget);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get state(): State | null {
    return this._state;
  }

  get trouble(): Trouble {
    return this._trouble;
  }

  /** The current notebook, if its kernel is ours. */
  get notebook(): NotebookPanel | null {
    return this._state ? this.panel : null;
  }

  /** The folder of the kernel's relative paths, as the server names it. */
  get folder(): string {
    return this.panel ? PathExt.dirname(this.panel.context.path) : '';
  }

  /** The recording that was opened or used last. */
  get run(): Recording | null {
    const state = this._state;
    if (!state) return null;
    const latest = state.recordings.find(run => run.name === state.latest.Recording);
    return latest ?? state.recordings[0] ?? null;
  }

  get moment(): Moment | null {
    const state = this._state;
    return state?.moments.find(each => each.name === state.latest.Moment) ?? null;
  }

  get branch(): Branch | null {
    const state = this._state;
    return state?.branches.find(each => each.name === state.latest.Branch) ?? null;
  }

  get chosen(): Chosen | null {
    return this._chosen;
  }

  choose(chosen: Chosen | null): void {
    this._chosen = chosen;
    this._changed.emit();
  }

  /** The recording that a variable holds; with `path`, only if it is the one there. */
  recording(name: string, path?: string): Recording | null {
    const held = this._state?.recordings.find(run => run.name === name);
    return held && (path === undefined || held.path === path) ? held : null;
  }

  /** The recording at a path; the one that was used last, if several variables hold it. */
  recordingAt(path: string): Recording | null {
    if (this.run?.path === path) return this.run;
    return this._state?.recordings.find(run => run.path === path) ?? null;
  }

  /** The Python expression for the recording. */
  get runCode(): string {
    return codeOf(this.run);
  }

  /** The Python expression for the instant that commands use; "" when there is none. */
  get hereCode(): string {
    if (this._chosen) {
      const { run, path, vtime, id } = this._chosen;
      const when = id && !id.startsWith(MAIN) ? quoted(id) : seconds(vtime);
      return `${codeOf(this.recording(run, path))}.at(${when})`;
    }
    if (this.moment) return this.moment.name;
    if (!this.run) return '';
    return this.run.failure === null ? `${this.runCode}.end` : `${this.runCode}.failure`;
  }

  /** Ask the kernel to end a job, as `jobs.cancel(number)` does. */
  async cancel(number: number): Promise<void> {
    await this.connection?.ask({ ask: 'cancel', job: number });
  }

  // -- following the current notebook

  private follow(panel: NotebookPanel | null): void {
    if (panel === this.panel) return;
    this.panel?.sessionContext.kernelChanged.disconnect(this.connect, this);
    this.panel?.sessionContext.statusChanged.disconnect(this.status, this);
    this.panel = panel;
    panel?.sessionContext.kernelChanged.connect(this.connect, this);
    panel?.sessionContext.statusChanged.connect(this.status, this);
    this.connect();
  }

  private status(): void {
    const status = this.panel?.sessionContext.kernelDisplayStatus;
    // After a restart, the kernel no longer knows that this page subscribed.
    if (status === 'idle' && !this._state) this.connect();
    if (status === 'restarting' || status === 'autorestarting') this.lose(STARTING);
    if (status === 'dead' || status === 'terminating') this.lose(DEAD);
  }

  private connect(): void {
    this.connection?.dispose();
    this.connection = null;
    this.resumed.clear();
    const session = this.panel?.sessionContext;
    const kernel = session?.session?.kernel;
    if (!session) return this.lose(NOTHING_OPEN);
    if (!kernel) return this.lose(session.isReady ? NO_KERNEL : STARTING);
    if (kernel.name !== KERNEL) return this.lose(otherKernel(session.kernelDisplayName));
    this.lose(STARTING);
    const connection = new Connection(kernel, state => this.told(connection, state));
    this.connection = connection;
    connection.ask({ ask: 'subscribe' }).catch((problem: unknown) => {
      if (connection === this.connection) this.lose(silent(problem));
    });
  }

  private told(connection: Connection, state: State): void {
    if (connection !== this.connection) return;
    const before = this._state;
    this._state = state;
    this.resume(connection, state);
    // A choice from before this page was loaded may have been used already.
    if (before && state.chosen && state.chosen.number > (before.chosen?.number ?? 0)) {
      this._chosen = { ...state.chosen, container: '' };
    }
    this._trouble = null;
    if (this._chosen && !this.recording(this._chosen.run, this._chosen.path)) this._chosen = null;
    this._changed.emit();
  }

  /** Show the progress of cells that were running when this page was loaded. */
  private resume(connection: Connection, state: State): void {
    for (const job of state.jobs) {
      if (job.state !== 'running' || !job.request || this.resumed.has(job.request)) continue;
      const cell = this.panel?.content.widgets.find(each => each.model.id === job.cell);
      if (cell?.model.type !== 'code') continue;
      const code = cell as CodeCell;
      if (code.model.executionState === 'running') continue; // this page has started it
      this.resumed.add(job.request);
      void resume(connection, code, job);
    }
  }

  private lose(trouble: Trouble): void {
    this._state = null;
    this._chosen = null;
    this._trouble = trouble;
    this._changed.emit();
  }
}

function codeOf(run: Recording | null): string {
  return run?.name ? run.name : `bp.open(${quoted(run?.path ?? '')})`;
}

const NOTHING_OPEN: Trouble = {
  what: 'No notebook is open.',
  remedy: 'Open a recording above, or a notebook whose kernel is Branchpoint.'
};
const NO_KERNEL: Trouble = {
  what: 'This notebook has no kernel.',
  remedy: 'Choose Branchpoint in the Kernel menu: Change Kernel…'
};
const STARTING: Trouble = { what: 'The kernel is starting.', remedy: '' };
const DEAD: Trouble = {
  what: 'The kernel is not running.',
  remedy: 'Restart it: Kernel menu, Restart Kernel… Then run the cells again from the top.'
};

function otherKernel(name: string): Trouble {
  return {
    what: `The kernel of this notebook is ${name}.`,
    remedy: 'Choose Branchpoint in the Kernel menu: Change Kernel…'
  };
}

function silent(problem: unknown): Trouble {
  return {
    what: problem instanceof Error ? problem.message : String(problem),
    remedy: 'Its Branchpoint may be older than this extension. Restart the kernel after an update.'
  };
}
