/** Recordings in the file browser: how they look, and what happens when one is opened. */
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { FileBrowser } from '@jupyterlab/filebrowser';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { ServerConnection, type Contents } from '@jupyterlab/services';
import { PathExt } from '@jupyterlab/coreutils';
import { Signal, type ISignal } from '@lumino/signaling';
import template from '../../../kernel/branchpoint/notebook/triage.ipynb';
import { recordingIcon } from './icons';
import { KERNEL } from './model';

const DIRECTORY = '.branchpoint';
const BUNDLE = '.bpz';
const PLACEHOLDER = 'RECORDING';
const NUMBERED = /^(-\d+)?\.ipynb$/;

export function isRecording(item: { type: string; name: string }): boolean {
  return item.type === 'directory'
    ? item.name.endsWith(DIRECTORY) && !item.name.startsWith('.')
    : item.name.endsWith(BUNDLE);
}

export function addFileTypes(registry: DocumentRegistry): void {
  registry.addFileType({
    name: 'branchpoint-recording',
    displayName: 'Recording',
    contentType: 'directory',
    pattern: '\\.branchpoint$',
    icon: recordingIcon
  });
  registry.addFileType({
    name: 'branchpoint-bundle',
    displayName: 'Shared recording',
    contentType: 'file',
    fileFormat: 'base64',
    extensions: [BUNDLE],
    icon: recordingIcon
  });
}

/** The recordings in the folder that a file browser shows. */
export class Folder {
  private _changed = new Signal<this, void>(this);

  constructor(private browser: FileBrowser | null) {
    browser?.model.refreshed.connect(() => this._changed.emit());
    browser?.model.pathChanged.connect(() => this._changed.emit());
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get path(): string {
    return this.browser?.model.path ?? '';
  }

  /** Their paths, as the server names them. */
  get recordings(): string[] {
    return [...(this.browser?.model.items() ?? [])].filter(isRecording).map(item => item.path);
  }
}

/**
 * Call `open(path)` when a recording is opened in a file browser, by double-click or Enter.
 *
 * For the file browser a recording is a directory, and it has no hook for opening a directory.
 * (To look inside, use Open in its context menu.)
 */
export function hookOpening(browser: FileBrowser, open: (path: string) => void): void {
  const take = (event: Event, item: Contents.IModel | undefined) => {
    if (!item || !isRecording(item)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    open(item.path);
  };
  browser.node.addEventListener(
    'dblclick',
    event => {
      const on = (event.target as Element).closest('.jp-DirListing-item');
      if (on) take(event, browser.modelForClick(event));
    },
    true
  );
  browser.node.addEventListener(
    'keydown',
    event => {
      // The focus is on the item's text; while it is renamed there is an input in its place.
      const name = (event.target as Element).closest('.jp-DirListing-itemText')?.textContent;
      if (event.key !== 'Enter' || !name) return;
      take(event, [...browser.model.items()].find(item => item.name === name.trim()));
    },
    true
  );
}

/** The name of a recording without its ending; its notebooks' names begin with that. */
function stem(path: string): string {
  return PathExt.basename(path).replace(/\.(branchpoint|bpz)$/, '');
}

/** The newest of the notebooks that were made for the recording at `path`; null if none was. */
export async function lastTriage(contents: Contents.IManager, path: string): Promise<string | null> {
  const folder = (await contents.get(PathExt.dirname(path))).content as Contents.IModel[];
  const start = `${stem(path)}-triage`;
  const made = folder.filter(
    ({ type, name }) =>
      type === 'notebook' && name.startsWith(start) && NUMBERED.test(name.slice(start.length))
  );
  made.sort((a, b) => a.last_modified.localeCompare(b.last_modified));
  return made.at(-1)?.path ?? null;
}

/** Write a new notebook for the recording at `path`, next to it; returns the notebook's path. */
export async function writeTriage(contents: Contents.IManager, path: string): Promise<string> {
  const name = PathExt.basename(path);
  const start = PathExt.join(PathExt.dirname(path), `${stem(path)}-triage`);
  let target = `${start}.ipynb`;
  for (let number = 2; await exists(contents, target); number++) {
    target = `${start}-${number}.ipynb`;
  }
  const cells = template.cells.map(cell => ({
    ...cell,
    source: cell.source.map(line =>
      cell.cell_type === 'code'
        ? line.replaceAll(`"${PLACEHOLDER}"`, () => JSON.stringify(name))
        : line.replaceAll(PLACEHOLDER, () => inWords(name))
    )
  }));
  await contents.save(target, {
    type: 'notebook',
    format: 'json',
    content: { ...template, cells }
  });
  return target;
}

/** A name without any markup of its own; a stranger may have given it. */
function inWords(name: string): string {
  return name.replace(/\s/g, ' ').replace(/[\\`*_[\]<>$|~&]/g, '\\$&');
}

/** Rejected when it is not known: a notebook that is there must not be written over. */
async function exists(contents: Contents.IManager, path: string): Promise<boolean> {
  try {
    await contents.get(path, { content: false });
    return true;
  } catch (problem) {
    const { ResponseError } = ServerConnection;
    if (problem instanceof ResponseError && problem.response.status === 404) return false;
    throw problem;
  }
}

/** Run all cells of a notebook as soon as its kernel is ready. */
export async function runAll(panel: NotebookPanel): Promise<void> {
  await panel.context.ready;
  await panel.sessionContext.ready;
  if (panel.sessionContext.session?.kernel?.name === KERNEL) {
    await NotebookActions.runAll(panel.content, panel.sessionContext);
  }
}
