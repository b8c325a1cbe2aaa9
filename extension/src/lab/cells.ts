/** Cells that do what was clicked. */
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';

/** Put `code` into a cell below the active one (or into that one, if it is empty), and show it. */
export async function insert(panel: NotebookPanel, code: string, run: boolean): Promise<void> {
  const notebook = panel.content;
  // In a notebook that was just opened, the user has not chosen a place yet: use the end.
  if (notebook.activeCellIndex === 0) notebook.activeCellIndex = notebook.widgets.length - 1;
  const active = notebook.activeCell;
  const empty = active?.model.type === 'code' && !active.model.sharedModel.getSource().trim();
  if (!empty) NotebookActions.insertBelow(notebook);
  notebook.deselectAll(); // only this cell is to run
  // The settings can make new cells text.
  if (notebook.activeCell?.model.type !== 'code') NotebookActions.changeCellType(notebook, 'code');
  const cell = notebook.activeCell;
  if (!cell) return;
  cell.model.sharedModel.setSource(code);
  notebook.mode = 'command';
  await notebook.scrollToCell(cell);
  if (!run) {
    notebook.mode = 'edit';
    return;
  }
  await NotebookActions.run(notebook, panel.sessionContext);
  if (notebook.activeCell === cell) cell.node.scrollIntoView({ block: 'nearest' }); // its output
}
