/** Branchpoint in JupyterLab's shell. All it does is a kernel call that a cell could make. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'branchpoint-lab:plugin',
  description: 'Branchpoint: recordings, their timelines and branches',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    console.debug(`Branchpoint is active in ${app.name}`);
  }
};

export default plugin;
