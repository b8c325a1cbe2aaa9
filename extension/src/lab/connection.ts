/** Requests to one kernel on its control channel, which answers even while a cell runs. */
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { UUID, type JSONObject } from '@lumino/coreutils';
import type { State } from './state';

const REQUEST = 'branchpoint_request';
const PUSH = 'branchpoint_state';
const PATIENCE = 10_000; // ms; Lab may hold a message back for 3 s after a reload

interface Answer {
  status: 'ok' | 'error';
  state?: State;
  ename?: string;
  evalue?: string;
  output?: Shown | null;
}

/** What a cell shows now; the messages with these ids are already part of it. */
export interface Shown {
  messages: [string, JSONObject][];
  ids: string[];
  count: number | null;
}

export class Connection {
  private gone = false;

  /** `told` gets each state that the kernel sends, with or without a request. */
  constructor(
    readonly kernel: Kernel.IKernelConnection,
    private told: (state: State) => void
  ) {
    kernel.iopubMessage.connect(this.pushed, this);
  }

  dispose(): void {
    this.gone = true;
    this.kernel.iopubMessage.disconnect(this.pushed, this);
  }

  /** Send a request; `told` also gets the answer's state. Rejected on an error or a timeout. */
  async ask(content: JSONObject): Promise<Answer> {
    const message = {
      channel: 'control',
      header: {
        date: new Date().toISOString(),
        msg_id: UUID.uuid4(),
        msg_type: REQUEST,
        session: this.kernel.clientId,
        username: this.kernel.username,
        version: '5.3'
      },
      parent_header: {},
      metadata: {},
      content,
      buffers: []
    };
    // Lab's types only list the messages of Jupyter's protocol, but Lab can also send others.
    const future = this.kernel.sendControlMessage(
      message as unknown as KernelMessage.IControlMessage,
      true
    );
    try {
      const reply = await new Promise<KernelMessage.IControlMessage>((resolve, reject) => {
        future.onReply = resolve;
        setTimeout(() => reject(new Error('The kernel does not answer.')), PATIENCE);
      });
      const answer = reply.content as unknown as Answer;
      if (answer.status !== 'ok' || !answer.state) {
        throw new Error(answer.evalue ?? 'The kernel could not answer.');
      }
      if (!this.gone) this.told(answer.state);
      return answer;
    } finally {
      future.dispose();
    }
  }

  private pushed(_: unknown, message: KernelMessage.IIOPubMessage): void {
    if ((message.header.msg_type as string) === PUSH) {
      this.told(message.content as unknown as State);
    }
  }
}
