/** A cell that was running when this page was loaded: shows its output so far, and what follows. */
import type { CodeCell } from '@jupyterlab/cells';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';
import type { Connection } from './connection';
import type { Job } from './state';

const OUTPUTS = new Set(['stream', 'display_data', 'execute_result', 'error']);

/** Follow the cell of a job until it ends. Messages sent before the reload do not come again. */
export async function resume(connection: Connection, cell: CodeCell, job: Job): Promise<void> {
  const outputs = cell.model.outputs;
  const places = new Map<string, number>(); // indexes of displays, by display id
  let waiting: KernelMessage.IIOPubMessage[] | null = [];
  let count: number | null = null;
  let done = false;

  const show = (type: string, content: JSONObject): void => {
    const id = (content['transient'] as JSONObject | undefined)?.['display_id'] as
      string | undefined;
    const rest: JSONObject = { ...content };
    delete rest['transient'];
    if (OUTPUTS.has(type)) {
      const length = outputs.add({ ...rest, output_type: type });
      if (id) places.set(id, length - 1);
    } else if (type === 'update_display_data') {
      const place = id === undefined ? undefined : places.get(id);
      if (place !== undefined && place < outputs.length) {
        outputs.set(place, { ...rest, output_type: 'display_data' });
      }
    } else if (type === 'clear_output') {
      outputs.clear(content['wait'] === true);
      places.clear();
    }
  };
  const hear = (message: KernelMessage.IIOPubMessage): void => {
    const type: string = message.header.msg_type;
    const content = message.content as JSONObject;
    if (type === 'status' && content['execution_state'] === 'idle') end();
    else show(type, content);
  };
  const heard = (_: unknown, message: KernelMessage.IIOPubMessage): void => {
    if ((message.parent_header as { msg_id?: string }).msg_id !== job.request) return;
    if (waiting) waiting.push(message);
    else hear(message);
  };
  const changed = (_: unknown, status: Kernel.Status): void => {
    if (status === 'restarting' || status === 'autorestarting' || status === 'dead') end();
  };
  const leave = (): void => {
    done = true;
    connection.kernel.iopubMessage.disconnect(heard);
    connection.kernel.statusChanged.disconnect(changed);
    cell.disposed.disconnect(end);
  };
  const end = (): void => {
    if (done) return;
    leave();
    if (cell.isDisposed) return;
    cell.model.executionState = 'idle';
    cell.model.executionCount = count;
  };

  connection.kernel.iopubMessage.connect(heard);
  connection.kernel.statusChanged.connect(changed);
  cell.disposed.connect(end);
  try {
    const { output } = await connection.ask({ ask: 'output', job: job.number });
    if (done) return; // the cell or its kernel went meanwhile
    if (!output) return leave(); // what it shows is not kept
    count = output.count;
    cell.model.executionState = 'running';
    outputs.clear();
    for (const [type, content] of output.messages) show(type, content);
    const known = new Set(output.ids);
    const late = waiting;
    waiting = null;
    for (const message of late) if (!known.has(message.header.msg_id)) hear(message);
  } catch {
    end();
  }
}
