/**
 * Shows the static picture of a view when the view itself cannot be shown: in a notebook that was
 * opened but not run, even a trusted one. JupyterLab would show "Loading widget..." there.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';

type Registry = NotebookPanel['content']['rendermime'];
type Factory = NonNullable<ReturnType<Registry['getFactory']>>;
type Renderer = ReturnType<Factory['createRenderer']>;

const VIEW = 'application/vnd.jupyter.widget-view+json';
const STATIC = 'Static view; run the cell to interact.'; // as Python writes it
const RANK = -10; // prefers widgets to the other MIME types of an output, such as HTML
const PATIENCE = 300; // ms to wait for a view before its picture is shown

/**
 * Make a renderer of widgets show the picture while it has no widget.
 *
 * Returns the same object, because JupyterLab's widgets search for their renderers when a kernel
 * starts. The renderer clears its node at each update, and removes the picture with it.
 */
function addPicture(view: Renderer, registry: Registry): Renderer {
  const render = view.renderModel.bind(view);
  let picture: Renderer | null = null;
  let isDue = false;
  const arrange = () => {
    if (!picture || view.isDisposed) return;
    const others = [...view.node.children].some(child => child !== picture!.node);
    const isShown = !others && isDue;
    if (isShown && picture.node.parentNode !== view.node) view.node.append(picture.node);
    if (!isShown) picture.node.remove();
    view.node.style.fontSize = isShown ? '0' : ''; // hides "Loading widget...", a bare text node
  };
  const observer = new MutationObserver(arrange);
  view.renderModel = async model => {
    const html = model.data['text/html'];
    if (typeof html === 'string' && html.includes(STATIC) && !picture) {
      picture = registry.createRenderer('text/html');
      picture.node.style.fontSize = 'var(--jp-content-font-size1)';
      await picture.renderModel(model);
      observer.observe(view.node, { childList: true });
      setTimeout(() => {
        isDue = true;
        arrange();
      }, PATIENCE);
    }
    await render(model);
  };
  view.disposed.connect(() => {
    observer.disconnect();
    picture?.dispose();
  });
  return view;
}

function standIn(registry: Registry, ours: WeakSet<Factory>): void {
  const factory = registry.getFactory(VIEW);
  if (!factory || ours.has(factory)) return;
  const mine: Factory = {
    safe: factory.safe,
    mimeTypes: [VIEW],
    createRenderer: options => addPicture(factory.createRenderer(options), registry)
  };
  ours.add(mine);
  registry.addFactory(mine, RANK);
}

export const standInPlugin: JupyterFrontEndPlugin<void> = {
  id: 'branchpoint-lab:stand-in',
  description: 'Static pictures of views whose kernel is gone',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_: JupyterFrontEnd, tracker: INotebookTracker) => {
    const ours = new WeakSet<Factory>();
    const add = (panel: NotebookPanel) => {
      const now = () => standIn(panel.content.rendermime, ours);
      // JupyterLab adds its renderer while the panel is made, or later when a kernel starts.
      void Promise.resolve().then(now);
      void panel.context.ready.then(now);
      void panel.sessionContext.ready.then(now);
    };
    tracker.forEach(add);
    tracker.widgetAdded.connect((_, panel) => add(panel));
  }
};
