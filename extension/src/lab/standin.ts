/**
 * The static picture of a view, where the view itself cannot be: in a notebook that was opened
 * without running it, a trusted one too. JupyterLab's widgets would say "Loading widget..." there.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';

type Registry = NotebookPanel['content']['rendermime'];
type Factory = NonNullable<ReturnType<Registry['getFactory']>>;
type Renderer = ReturnType<Factory['createRenderer']>;

const VIEW = 'application/vnd.jupyter.widget-view+json';
const STATIC = 'Static view; run the cell to interact.'; // as Python writes it
const RANK = -10; // of widgets among the forms of an output: before HTML
const PATIENCE = 300; // ms that a view may take before its picture is shown

/**
 * Let a renderer of widgets show the picture while it has no widget.
 *
 * It stays the same object: JupyterLab's widgets look for theirs among the outputs when a kernel
 * comes. It wipes its node whenever it has something new to say, the picture with it.
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
    view.node.style.fontSize = isShown ? '0' : ''; // of its excuse, which is bare text
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
      // The widgets' own renderer is put there while the panel is made; later, with a kernel.
      void Promise.resolve().then(now);
      void panel.context.ready.then(now);
      void panel.sessionContext.ready.then(now);
    };
    tracker.forEach(add);
    tracker.widgetAdded.connect((_, panel) => add(panel));
  }
};
