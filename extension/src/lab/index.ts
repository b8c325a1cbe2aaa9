/** Branchpoint in JupyterLab's shell. All it does are kernel calls that a cell could make. */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDefaultFileBrowser, IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';
import { addCommands, Command, Doer } from './commands';
import { recordingIcon } from './icons';
import { Model } from './model';
import { Panel } from './panel';
import { addFileTypes, Folder, hookOpening, isRecording } from './recordings';
import { standInPlugin } from './standin';
import { Status } from './status';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'branchpoint-lab:plugin',
  description: 'Branchpoint: recordings, their timelines and branches, and jobs',
  autoStart: true,
  requires: [INotebookTracker],
  // Notebook 7 has no launcher and no layout to restore.
  optional: [
    IDefaultFileBrowser,
    IFileBrowserFactory,
    ICommandPalette,
    ILauncher,
    IStatusBar,
    ILayoutRestorer
  ],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    browser: IDefaultFileBrowser | null,
    browsers: IFileBrowserFactory | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    statusBar: IStatusBar | null,
    restorer: ILayoutRestorer | null
  ) => {
    const model = new Model(tracker);
    const folder = new Folder(browser);
    const doer = new Doer(app, model, folder);
    const panel = new Panel(model, folder, {
      cell: (action, run) => doer.cell(action, run),
      openRecording: path => doer.openRecording(path),
      terminal: () => void doer.terminal(),
      cancel: job => doer.cancel(job)
    });
    doer.panel = panel;
    app.shell.add(panel, 'left', { rank: 600, type: 'Branchpoint' });
    restorer?.add(panel, panel.id);

    addFileTypes(app.docRegistry);
    const open = (path: string) => doer.openRecording(path);
    browsers?.tracker.forEach(each => hookOpening(each, open));
    browsers?.tracker.widgetAdded.connect((_, each) => hookOpening(each, open));
    const selected = () => [...(browsers?.tracker.currentWidget?.selectedItems() ?? [])];
    app.commands.addCommand('branchpoint:open-selected', {
      label: 'Open Recording',
      icon: recordingIcon,
      isVisible: () => selected().some(isRecording),
      execute: () => selected().filter(isRecording).forEach(item => open(item.path))
    });

    addCommands(app, model, doer, panel, palette);
    launcher?.add({
      command: Command.open,
      args: { isLauncher: true },
      category: 'Other',
      rank: 1
    });
    statusBar?.registerStatusItem('branchpoint-lab:status', {
      item: new Status(model, () => app.shell.activateById(panel.id)),
      align: 'left',
      rank: 50,
      isActive: () => model.state !== null,
      activeStateChanged: model.changed as never
    });
  }
};

export default [plugin, standInPlugin];
