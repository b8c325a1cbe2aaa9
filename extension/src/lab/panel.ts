/** The side panel: the folder's recordings, the open recording and its branches, and jobs. */
import { Widget } from '@lumino/widgets';
import { h } from '../views/parts/dom';
import * as actions from './actions';
import type { Action } from './actions';
import { branchIcon } from './icons';
import type { Model } from './model';
import type { Folder } from './recordings';
import { shown, type Job, type Listed, type Recording } from './state';
import { moveTip, strip } from './strip';

/** The actions that the panel needs. */
export interface Doing {
  /** Put a cell into the notebook in front; run it, or only show it. */
  cell(action: Action, run: boolean): void;
  openRecording(path: string): void;
  terminal(): void;
  cancel(job: Job): void;
}

export class Panel extends Widget {
  private recordings = h('div');
  private opened = h('div');
  private branches = h('div');
  private jobs = h('div');
  private drawn = new Map<HTMLElement, string>(); // what these parts show
  private does = new WeakMap<Element, Action>(); // by button
  private unfolded = false; // whether branches from earlier are shown

  constructor(
    private model: Model,
    private folder: Folder,
    private doing: Doing
  ) {
    super();
    this.id = 'branchpoint-panel';
    this.title.icon = branchIcon;
    this.title.caption = 'Branchpoint';
    this.addClass('bpl-panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Branchpoint');
    this.node.append(
      h('h2', {}, 'Branchpoint'),
      section('Recordings', this.recordings),
      this.opened,
      this.branches,
      section('Jobs', this.jobs)
    );
    model.changed.connect(() => this.draw());
    folder.changed.connect(() => this.drawRecordings());
    this.drawRecordings();
    this.draw();
  }

  /** Give the focus to the first button. */
  protected override onActivateRequest(): void {
    this.node.querySelector<HTMLElement>('button, [tabindex]')?.focus();
  }

  /** The action of the focused button, for "insert the cell that does this". */
  get focused(): Action | null {
    const { activeElement } = this.node.ownerDocument;
    return (activeElement && this.does.get(activeElement)) ?? null;
  }

  /**
   * Draw a part again if what it shows has changed.
   *
   * The state comes twice a second while time passes: elements that stay the same are kept, or a
   * click that has begun would be lost. When they are made anew, the focus stays, and the marks
   * stay where they are scrolled to.
   */
  private renew(part: HTMLElement, shows: unknown, make: () => HTMLElement[]): void {
    const now = JSON.stringify(shows);
    if (this.drawn.get(part) === now) return;
    this.drawn.set(part, now);
    const marks = () => part.querySelector<HTMLElement>('.bpl-marks');
    const { scrollTop = 0, dataset: { run } = {} } = marks() ?? {};
    const active = this.node.ownerDocument.activeElement;
    const focus = part.contains(active) && active?.getAttribute('data-key');
    part.replaceChildren(...make());
    const list = marks();
    if (list && list.dataset['run'] === run) list.scrollTop = scrollTop;
    if (focus) {
      part
        .querySelector<HTMLElement>(`[data-key=${CSS.escape(focus)}]`)
        ?.focus({ preventScroll: true });
    }
  }

  // -- recordings

  /** The file browser reads its folder again every few seconds. */
  private drawRecordings(): void {
    const { recordings, path } = this.folder;
    this.renew(this.recordings, [path, recordings], () => [this.recordingList(recordings, path)]);
  }

  private recordingList(found: string[], folder: string): HTMLElement {
    if (!found.length) {
      return empty(
        `No recording in ${folder || 'this folder'}.`,
        'Go to another folder in the file browser, or record one: ',
        'branchpoint record compose.yaml'
      );
    }
    return h(
      'ul',
      { class: 'bpl-list' },
      ...found.map(path =>
        h(
          'li',
          {},
          h(
            'button',
            {
              class: 'bpl-item',
              'data-key': path,
              title: `Open ${path} in its triage notebook`,
              click: () => this.doing.openRecording(path)
            },
            path.split('/').pop()
          )
        )
      )
    );
  }

  // -- the rest, from the kernel

  private draw(): void {
    const { trouble, run, chosen, moment, branch, runCode, hereCode } = this.model;
    // All that the elements depend on, but not the ends of branches, which are put in place below.
    const held = branch && [branch.name, branch.run];
    const about = run && { ...run, branches: 0, earlier: 0, unlisted: 0 };
    const here = [chosen, moment, held, runCode, hereCode];
    this.renew(this.opened, [trouble, about, here], () => this.openedPart());
    const listed = run ? [...run.branches, ...run.earlier] : [];
    const branches = listed.map(each => ({ ...each, end: 0 }));
    this.renew(
      this.branches,
      run && [runCode, branches, run.branches.length, run.unlisted],
      () => (run ? [this.branchesPart(run)] : [])
    );
    this.branches.querySelectorAll('small').forEach((reach, place) => {
      const { start, end } = listed[place]!;
      reach.textContent = `${start.toFixed(3)} → ${shown(end)}`;
    });
    if (run && branch) moveTip(this.opened, run, branch);
    this.drawJobs();
  }

  private openedPart(): HTMLElement[] {
    const { trouble, run } = this.model;
    if (trouble) {
      return [section('Open recording', empty(trouble.what, trouble.remedy))];
    }
    if (!run) {
      return [
        section(
          'Open recording',
          empty(
            'No recording is open in this notebook.',
            'Choose one above, or in a cell: ',
            'run = bp.open("name.branchpoint")'
          )
        )
      ];
    }
    return [section(run.title || run.path, ...this.runParts(run))];
  }

  private runParts(run: Recording): HTMLElement[] {
    const failure = run.failure === null ? 'no failure' : `failure at ${shown(run.failure)}`;
    const facts =
      `${run.path} · ${shown(run.duration)} · ${run.containers.length} containers · ` +
      `${run.events} events · seed ${run.seed} · ${failure}`;
    const { chosen, moment } = this.model;
    const here = chosen
      ? `chosen: ${shown(chosen.vtime)}${chosen.path === run.path ? '' : ` in ${chosen.path}`}`
      : moment
        ? `${moment.name} is at ${shown(moment.vtime)}`
        : '';
    return [
      h('p', { class: 'bpl-facts' }, facts),
      h(
        'div',
        { class: 'bpl-buttons' },
        this.button(actions.timeline(this.model)),
        this.button(actions.log(this.model)),
        this.button(actions.map(this.model)),
        this.button(actions.curve(this.model), {
          label: 'Likelihood',
          what: actions.noCurve(run)
        })
      ),
      strip(run, this.model, vtime => this.choose(run, vtime)),
      this.marks(run),
      h(
        'div',
        { class: 'bpl-buttons' },
        h('span', { class: 'bpl-here', role: 'status' }, here),
        this.button(actions.rewindHere(this.model), {
          label: 'Rewind here',
          what: moment ? `${moment.name} is there already. ${actions.ANOTHER}` : actions.CHOOSE
        }),
        this.button(actions.branchHere(this.model)),
        h(
          'button',
          { class: 'bpl-button', 'data-key': 'terminal', click: () => this.doing.terminal() },
          'Terminal…'
        )
      )
    ];
  }

  private choose(run: Recording, vtime: number, container = ''): void {
    this.model.choose({ run: run.name, path: run.path, vtime, container });
  }

  private marks(run: Recording): HTMLElement {
    const list = h('ul', {
      class: 'bpl-list bpl-marks', 'aria-label': 'What happened', 'data-run': run.path
    });
    const { chosen } = this.model;
    for (const mark of [...run.marks].reverse()) {
      const key = `${mark.vtime}${mark.type}${mark.container}`;
      const pressed = chosen?.path === run.path && chosen.vtime === mark.vtime;
      const failed = mark.vtime === run.failure && mark.type === 'container.exit';
      list.append(
        h(
          'li',
          {},
          h(
            'button',
            {
              class: `bpl-item bpl-mark ${failed ? 'bpl-failed' : ''}`,
              'data-key': key,
              'aria-pressed': String(pressed),
              title: mark.text,
              click: () => this.choose(run, mark.vtime, mark.container)
            },
            h('span', { class: 'bpl-time' }, shown(mark.vtime)),
            h('span', {}, failed ? 'failure' : mark.word),
            h('span', { class: 'bpl-who' }, h('bdi', {}, mark.container))
          )
        )
      );
    }
    return list;
  }

  private branchesPart(run: Recording): HTMLElement {
    const { branches, earlier, unlisted } = run;
    const parts: HTMLElement[] = [];
    if (branches.length) parts.push(h('ul', { class: 'bpl-list' }, ...this.listed(branches)));
    else parts.push(empty('No branches yet.', 'Choose an instant above and press Branch here.'));
    if (earlier.length) {
      parts.push(
        h(
          'details',
          {
            open: this.unfolded,
            toggle: (event: Event) => (this.unfolded = (event.target as HTMLDetailsElement).open)
          },
          h('summary', { 'data-key': 'earlier' }, `${earlier.length} from earlier`),
          h('ul', { class: 'bpl-list' }, ...this.listed(earlier))
        )
      );
    }
    if (unlisted) parts.push(empty(`${unlisted} more are in the map.`, 'Press Map above.'));
    return section('Branches', ...parts);
  }

  private listed(branches: Listed[]): HTMLElement[] {
    return branches.map(branch =>
      h(
        'li',
        { class: 'bpl-branch', style: `padding-left: ${branch.depth}em`, title: branch.title },
        branch.id
          ? this.button({ ...actions.reopen(this.model, branch.id), label: branch.title, key: branch.id })
          : h('span', {}, branch.name && h('code', {}, branch.name), ' ', branch.title),
        h('small')
      )
    );
  }

  // -- jobs

  private drawJobs(): void {
    const jobs = [...(this.model.state?.jobs ?? [])].reverse();
    if (!jobs.length) {
      this.jobs.replaceChildren(
        empty('No jobs.', 'Cells that take more than a second are listed here.')
      );
      return;
    }
    // Elements of jobs that still exist are kept: their buttons may have the focus.
    const rows = new Map(
      [...this.jobs.querySelectorAll<HTMLElement>('[data-job]')].map(row => [row.dataset.job, row])
    );
    const list = jobs.map(job => {
      const key = `${job.number} ${job.state}`;
      const row = rows.get(key) ?? this.jobRow(job, key);
      showProgress(row, job);
      return row;
    });
    const current = [...this.jobs.children];
    if (current.length !== list.length || current.some((row, place) => row !== list[place])) {
      this.jobs.replaceChildren(...list);
    }
  }

  private jobRow(job: Job, key: string): HTMLElement {
    return h(
      'div',
      { class: 'bpl-job', 'data-job': key, role: 'group', 'aria-label': `Job ${job.number}` },
      h('div', {}, `${job.number} `, h('code', {}, job.name)),
      h('progress', { max: 1, hidden: job.state !== 'running', 'aria-label': 'Progress' }),
      h('div', { class: 'bpl-facts' }),
      h(
        'div',
        { class: 'bpl-buttons' },
        this.button(actions.attach(job)),
        job.state === 'running' &&
          h('button', { class: 'bpl-button', click: () => this.doing.cancel(job) }, 'Cancel')
      )
    );
  }

  /** A button that runs a cell; with Shift it only inserts it. */
  private button(action: Action | null, needs?: { label: string; what: string }): HTMLElement | null {
    if (!action) {
      return needs
        ? h('button', { class: 'bpl-button', disabled: true, title: needs.what }, needs.label)
        : null;
    }
    const button = h(
      'button',
      {
        class: 'bpl-button',
        'data-key': action.key ?? action.label,
        title: `${action.code}\n\nShift: insert this cell without running it`,
        click: (event: MouseEvent) => this.doing.cell(action, !event.shiftKey)
      },
      action.label
    );
    this.does.set(button, action);
    return button;
  }
}

function section(title: string, ...children: HTMLElement[]): HTMLElement {
  return h('section', { 'aria-label': title }, h('h3', {}, title), ...children);
}

function empty(what: string, remedy: string, code = ''): HTMLElement {
  return h('p', { class: 'bpl-empty' }, `${what} ${remedy}`, code ? h('code', {}, code) : null);
}

function showProgress(row: HTMLElement, job: Job): void {
  const bar = row.querySelector('progress')!;
  if (job.fraction === null) bar.removeAttribute('value');
  else bar.value = job.fraction;
  const parts = [job.state === 'running' ? job.task || 'running' : job.state, job.note];
  parts.push(`${job.elapsed.toFixed(0)} s`);
  if (job.remaining !== null) parts.push(`about ${job.remaining.toFixed(0)} s left`);
  row.querySelector('.bpl-facts')!.textContent = parts.filter(part => part).join(' · ');
}
