/** Commands: everything that the panel, the palette, the menus and the keys can do. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { InputDialog, Notification, type ICommandPalette } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import * as actions from './actions';
import type { Action } from './actions';
import { insert } from './cells';
import { branchIcon, recordingIcon } from './icons';
import type { Model } from './model';
import type { Panel } from './panel';
import { lastTriage, runAll, writeTriage, type Folder } from './recordings';

export const Command = {
  open: 'branchpoint:open',
  rewind: 'branchpoint:rewind',
  here: 'branchpoint:rewind-here',
  branch: 'branchpoint:branch',
  terminal: 'branchpoint:terminal',
  timeline: 'branchpoint:timeline',
  log: 'branchpoint:log',
  map: 'branchpoint:map',
  curve: 'branchpoint:curve',
  attach: 'branchpoint:attach',
  cancel: 'branchpoint:cancel',
  insert: 'branchpoint:insert',
  panel: 'branchpoint:panel'
} as const;

const CATEGORY = 'Branchpoint';
const ROW = '[data-vtime]'; // a row of the log explorer
const READING = 8000; // ms that a message stays
const IS_OPEN = 'Open a recording first: double-click it in the file browser.';

function warn(text: string): void {
  Notification.warning(text, { autoClose: READING });
}

/** Runs the commands; for each problem it shows a message that says what to do. */
export class Doer {
  private latest: Action | null = null;
  panel: Panel | null = null;

  constructor(
    private app: JupyterFrontEnd,
    private model: Model,
    private folder: Folder
  ) {}

  cell(action: Action | null, run: boolean): void {
    const notebook = this.model.notebook;
    if (!notebook || !action) {
      const { trouble } = this.model;
      const missing = this.model.run ? actions.CHOOSE : IS_OPEN;
      warn(trouble ? `${trouble.what} ${trouble.remedy}` : missing);
      return;
    }
    this.latest = action;
    if (this.model.state?.busy && run) {
      Notification.info('The kernel is busy: the cell will run when the current one has ended.', {
        autoClose: 3000
      });
    }
    this.app.shell.activateById(notebook.id);
    if (run && action.moves) this.model.choose(null); // "here" is now the result of the cell
    void insert(notebook, action.code, run);
  }

  /** Insert the cell of the focused button of the panel, or of the last action. */
  again(): void {
    this.cell(this.panel?.focused ?? this.latest ?? actions.rewindHere(this.model), false);
  }

  openRecording(path: string): void {
    this.opening(path, this.triage(path));
  }

  private opening(path: string, done: Promise<void>): void {
    done.catch((problem: unknown) => {
      Notification.error(`${path} cannot be opened: ${String(problem)}`, { autoClose: READING });
    });
  }

  /** Show the recording's notebook; make it, and run it, if there is none. */
  private async triage(path: string): Promise<void> {
    const { contents, sessions } = this.app.serviceManager;
    const made = await lastTriage(contents, path);
    if (made === null) return this.newTriage(path);
    await sessions.refreshRunning();
    const runs = [...sessions.running()].some(session => session.path === made);
    const panel = await this.openNotebook(made);
    if (runs) return;
    Notification.info(`${made} was made when this recording was opened before.`, {
      autoClose: false,
      actions: [
        { label: 'Run all cells', callback: () => this.opening(path, runAll(panel)) },
        { label: 'New notebook', callback: () => this.opening(path, this.newTriage(path)) }
      ]
    });
  }

  private async newTriage(path: string): Promise<void> {
    const notebook = await writeTriage(this.app.serviceManager.contents, path);
    await runAll(await this.openNotebook(notebook));
  }

  private async openNotebook(path: string): Promise<NotebookPanel> {
    return (await this.app.commands.execute('docmanager:open', {
      path,
      factory: 'Notebook',
      kernel: { name: 'branchpoint' }
    })) as NotebookPanel;
  }

  async pickRecording(): Promise<void> {
    const found = this.folder.recordings;
    if (!found.length) {
      warn(
        `There is no recording in ${this.folder.path || 'this folder'}. Go to another folder in ` +
          'the file browser, or record one: branchpoint record compose.yaml'
      );
      return;
    }
    const items = found.map(path => path.split('/').pop() ?? path);
    const { value } =
      items.length === 1
        ? { value: items[0] }
        : await InputDialog.getItem({ title: 'Open which recording?', items });
    const path = found[items.indexOf(value ?? '')];
    if (path) this.openRecording(path);
  }

  async rewind(given: unknown): Promise<void> {
    const by =
      typeof given === 'number'
        ? given
        : (
            await InputDialog.getNumber({
              title: 'Rewind by how many virtual seconds?',
              value: 1,
              okLabel: 'Rewind'
            })
          ).value;
    if (by) this.cell(actions.rewind(this.model, by), true);
  }

  async terminal(given?: unknown): Promise<void> {
    const { chosen } = this.model;
    const run = actions.terminalIn(this.model);
    if (!run) {
      this.cell(null, true);
      return;
    }
    const wanted = chosen?.container || actions.lastExit(run)?.container || '';
    const current = run.containers.indexOf(wanted);
    const container =
      typeof given === 'string'
        ? given
        : (
            await InputDialog.getItem({
              title: 'A terminal in which container?',
              items: run.containers,
              current: Math.max(current, 0),
              okLabel: 'Open'
            })
          ).value;
    if (container) this.cell(actions.terminalHere(this.model, container), true);
  }

  attach(given: unknown): void {
    const job = this.model.state?.jobs.filter(each => given === undefined || each.number === given);
    const newest = job?.at(-1);
    if (newest) this.cell(actions.attach(newest), true);
    else warn('There is no job to attach to.');
  }

  cancel(job: { number: number }): void {
    this.model.cancel(job.number).catch((problem: unknown) => {
      Notification.error(`The job was not cancelled: ${String(problem)}`, { autoClose: READING });
    });
  }
}

export function addCommands(
  app: JupyterFrontEnd,
  model: Model,
  doer: Doer,
  panel: Panel,
  palette: ICommandPalette | null
): void {
  const { commands } = app;
  const has = () => model.run !== null;
  const simple = (make: (model: Model) => Action | null) => ({
    isEnabled: () => make(model) !== null,
    execute: () => doer.cell(make(model), true)
  });
  commands.addCommand(Command.open, {
    label: args => (args['isLauncher'] ? 'Open Recording' : 'Open Recording…'),
    caption: 'Open a recording in its triage notebook',
    icon: recordingIcon,
    execute: args =>
      typeof args['path'] === 'string' ? doer.openRecording(args['path']) : doer.pickRecording()
  });
  commands.addCommand(Command.rewind, {
    label: ({ seconds }) => (typeof seconds === 'number' ? `Rewind by ${seconds} s` : 'Rewind…'),
    isEnabled: has,
    execute: ({ seconds }) => doer.rewind(seconds)
  });
  commands.addCommand(Command.here, { label: 'Rewind Here', ...simple(actions.rewindHere) });
  commands.addCommand(Command.branch, {
    label: 'Branch Here',
    icon: branchIcon,
    ...simple(actions.branchHere)
  });
  commands.addCommand(Command.terminal, {
    label: 'Terminal Here…',
    isEnabled: has,
    execute: args => doer.terminal(args['container'])
  });
  commands.addCommand(Command.timeline, { label: 'Timeline', ...simple(actions.timeline) });
  commands.addCommand(Command.log, { label: 'Log Explorer', ...simple(actions.log) });
  commands.addCommand(Command.map, { label: 'Map of Branches', ...simple(actions.map) });
  commands.addCommand(Command.curve, {
    label: 'Likelihood of the Failure',
    ...simple(actions.curve)
  });
  commands.addCommand(Command.attach, {
    label: 'Attach to the Newest Job',
    isEnabled: () => Boolean(model.state?.jobs.length),
    execute: args => doer.attach(args['job'])
  });
  commands.addCommand(Command.cancel, {
    label: 'Cancel the Running Job',
    isEnabled: () => running() !== undefined,
    execute: () => {
      const job = running();
      if (job) doer.cancel(job);
    }
  });
  const running = () => model.state?.jobs.filter(job => job.state === 'running').at(-1);
  commands.addCommand(Command.insert, {
    label: 'Insert the Cell That Does This',
    caption: 'Insert the cell of the focused button, or of the last action, without running it',
    isEnabled: () => model.notebook !== null,
    execute: () => doer.again()
  });
  commands.addCommand(Command.panel, {
    label: 'Show the Panel',
    icon: branchIcon,
    execute: () => app.shell.activateById(panel.id)
  });
  model.changed.connect(() => {
    for (const command of Object.values(Command)) commands.notifyCommandChanged(command);
  });
  for (const command of Object.values(Command)) {
    palette?.addItem({ command, category: CATEGORY });
  }
  palette?.addItem({ command: Command.rewind, category: CATEGORY, args: { seconds: 1 } });
  addRowCommands(app, model, doer);
  app.contextMenu.addItem({
    command: 'branchpoint:open-selected',
    selector: '.jp-DirListing-item',
    rank: 0
  });
}

/** Commands for the line of a log under the pointer, in the recording that the log is of. */
function addRowCommands(app: JupyterFrontEnd, model: Model, doer: Doer): void {
  const pointed = () => app.contextMenuHitTest(node => node.matches(ROW));
  const recordingOf = (row?: HTMLElement) => model.recordingAt(row?.dataset['run'] ?? '');
  const onRow = (id: string, label: string, act: () => void) => {
    app.commands.addCommand(id, {
      label,
      isEnabled: () => recordingOf(pointed()) !== null,
      execute: () => {
        const row = pointed();
        const run = recordingOf(row);
        if (!row || !run) return;
        model.choose({
          run: run.name,
          path: run.path,
          vtime: Number(row.dataset['vtime']),
          container: row.dataset['container'] ?? ''
        });
        act();
      }
    });
    app.contextMenu.addItem({ command: id, selector: ROW, rank: 0 });
  };
  onRow('branchpoint:row-rewind', 'Rewind to This Line', () =>
    doer.cell(actions.rewindHere(model), true)
  );
  onRow('branchpoint:row-branch', 'Branch at This Line', () =>
    doer.cell(actions.branchHere(model), true)
  );
  onRow('branchpoint:row-terminal', 'Terminal at This Line', () =>
    void doer.terminal(model.chosen?.container || undefined)
  );
  onRow('branchpoint:row-insert', 'Insert the Cell of This Moment', () =>
    doer.cell(actions.rewindHere(model), false)
  );
}
