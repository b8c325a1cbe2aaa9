// Captured packets: a table, and the bytes of the chosen one.
import type { AnyModel } from '@anywidget/types';
import { plain } from './parts/ansi';
import { Asking } from './parts/asking';
import { copyButton, frame, h, number } from './parts/dom';
import { Scroller } from './parts/scroller';

type Row = [
  number: number, at: number, source: string, destination: string, protocol: string, flags: string,
  length: number, payload: string
];

interface State {
  generation: number;
  count: number;
  total: number;
  scanned: number;
  text: string;
  notes: string[];
  can_dissect: boolean;
  first?: Row[];
}

interface Chosen {
  number: number;
  row: number;
  vtime: string;
  id: string;
  bytes: DataView;
  payload: number;
  dissected: string;
}

type Answer =
  | { answer: 'rows'; generation: number; start: number; rows: Row[] }
  | { answer: 'pcap' }
  | { answer: 'error'; text: string }
  | { answer: 'done' };

const TYPING = 80; // ms of rest after which is searched
const COLUMNS = ['vtime', 'source', 'destination', 'protocol', 'flags', 'length', 'payload'];
const SHOWN = 4096; // bytes in hex
const LINE = 16;

class PacketsView {
  private generation = -1;
  private typing: ReturnType<typeof setTimeout> | undefined;
  private asking: Asking;
  private scroller: Scroller<Row>;
  private search: HTMLInputElement;
  private error = h('div', { class: 'bpv-error', role: 'alert', hidden: true });
  private detail = h('div', { class: 'bpv-detail', hidden: true });
  private status = h('span', { role: 'status' });
  private busy = h('span', { hidden: true }, '· the kernel is busy, this waits for it');
  readonly dispose: () => void;

  constructor(
    private model: AnyModel,
    el: HTMLElement
  ) {
    this.asking = new Asking(model, busy => (this.busy.hidden = !busy));
    this.scroller = new Scroller<Row>({
      label: 'Packets',
      rowHeight: 20,
      columns: COLUMNS.map(name => ({ title: name === 'vtime' ? 'vtime (s)' : name, name })),
      fill: (cells, item, row) => this.fill(cells, item, row),
      ask: (start, count) =>
        this.asking.ask('rows', { generation: this.generation, start, count }),
      choose: item => this.asking.ask('select', { number: item[0] })
    });
    this.scroller.el.style.setProperty(
      '--columns', '11ch minmax(0, 18ch) minmax(0, 18ch) 8ch 7ch 6ch minmax(0, 1fr)'
    );
    const label = 'Search addresses, ports, protocols, flags and payload';
    this.search = h('input', {
      type: 'text', placeholder: label, 'aria-label': label,
      input: () => {
        clearTimeout(this.typing);
        const text = () => this.asking.ask('filter', { text: this.search.value });
        this.typing = setTimeout(text, TYPING);
      }
    });
    const save = h('button', {
      class: 'bpv-button', type: 'button', title: 'Download the capture, for Wireshark',
      click: () => this.asking.ask('save')
    }, 'Download .pcap');
    const unframe = frame(el, 'Packets', [
      h('div', { class: 'bpv-bar' }, h('div', { class: 'bpv-search' }, this.search), save),
      this.error,
      this.scroller.el,
      this.detail,
      h('div', { class: 'bpv-bar bpv-foot' }, this.status, this.busy)
    ]);
    const onState = () => this.show();
    const onChosen = () => this.showChosen(true);
    const onMessage = (answer: Answer, buffers: DataView[]) => this.answered(answer, buffers);
    model.on('change:state', onState);
    model.on('change:chosen', onChosen);
    model.on('msg:custom', onMessage);
    this.show();
    this.showChosen(false);
    this.dispose = () => {
      model.off('change:state', onState);
      model.off('change:chosen', onChosen);
      model.off('msg:custom', onMessage);
      clearTimeout(this.typing);
      this.scroller.dispose();
      unframe();
    };
  }

  private get state(): State {
    return this.model.get('state') as State;
  }

  // -- what the kernel says

  private show(): void {
    this.asking.answered();
    const { generation, count, total, scanned, text, notes, first } = this.state;
    if (generation !== this.generation) {
      this.generation = generation;
      this.error.hidden = true;
      this.scroller.reset(count, first ?? []);
      if (document.activeElement !== this.search) this.search.value = text;
    } else {
      this.scroller.resize(count);
    }
    const few = count !== total ? `${number(count)} of ` : '';
    const searching = scanned < 1 ? ` · searching, ${Math.floor(scanned * 100)} %` : '';
    const words = `${few}${number(total)} packet${total === 1 ? '' : 's'}${searching}`;
    this.status.textContent = [words, ...notes.map(plain)].join(' · ');
    if (scanned < 1) this.asking.ask('more', { generation });
  }

  private showChosen(fresh: boolean): void {
    this.asking.answered();
    const chosen = this.model.get('chosen') as Partial<Chosen>;
    this.detail.hidden = chosen.number === undefined;
    if (chosen.number === undefined || !chosen.bytes) return;
    if (chosen.row !== undefined && chosen.row >= 0) this.scroller.mark(chosen.row, fresh);
    const { bytes, payload = 0, dissected, id, vtime, number: which } = chosen;
    const code = id ? `run.at("${id}")` : '';
    const dissect = h('button', {
      class: 'bpv-button', type: 'button', title: 'Decode this packet with tshark',
      click: () => this.asking.ask('dissect')
    }, 'Dissect');
    this.detail.replaceChildren(
      h('div', { class: 'bpv-moment' },
        `packet ${which}`,
        code ? h('code', {}, code) : `${vtime} s`,
        code ? copyButton('Copy the moment of this packet', () => code) : null,
        this.state.can_dissect && !dissected ? dissect : null,
        h('span', { class: 'bpv-space' }),
        h('span', {}, `${bytes.byteLength} bytes, payload from ${payload} on`)),
      dump(bytes, payload),
      dissected ? h('pre', {}, plain(dissected)) : ''
    );
  }

  private answered(answer: Answer, buffers: DataView[]): void {
    this.asking.answered();
    if (answer.answer === 'rows' && answer.generation === this.generation) {
      this.scroller.put(answer.start, answer.rows);
    } else if (answer.answer === 'pcap' && buffers[0]) {
      const type = 'application/vnd.tcpdump.pcap';
      const address = URL.createObjectURL(new Blob([buffers[0] as BlobPart], { type }));
      h('a', { href: address, download: 'capture.pcap' }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    } else if (answer.answer === 'error') {
      this.error.textContent = answer.text;
      this.error.hidden = false;
    }
  }

  // -- a row

  private fill(cells: HTMLElement[], item: Row | undefined, row: HTMLElement): void {
    if (!item) {
      row.classList.add('bpv-missing');
      cells.forEach((cell, i) => (cell.textContent = i === 6 ? '…' : ''));
      return;
    }
    const [, at, source, destination, protocol, flags, length, payload] = item;
    const short = flags.split(' ').filter(Boolean).map(flag => flag[0]).join('');
    const values = [
      (at / 1e9).toFixed(6), source, destination, protocol, short, String(length), payload
    ];
    values.forEach((value, i) => (cells[i]!.textContent = plain(value)));
    cells[4]!.title = flags;
    if (flags.includes('RST')) row.classList.add('bpv-bad');
    else if (/SYN|FIN/.test(flags)) row.classList.add('bpv-life');
  }
}

/** Bytes in hex and in ASCII, the payload in full colour. */
function dump(bytes: DataView, payload: number): HTMLElement {
  const pre = h('pre', { class: 'bpv-hex' });
  const end = Math.min(bytes.byteLength, SHOWN);
  for (let start = 0; start < end; start += LINE) {
    const line = Array.from({ length: Math.min(LINE, end - start) }, (_, i) =>
      bytes.getUint8(start + i)
    );
    const head = Math.min(Math.max(payload - start, 0), line.length);
    const hex = (codes: number[]) => codes.map(code => code.toString(16).padStart(2, '0') + ' ');
    const ascii = (codes: number[]) =>
      codes.map(code => (code >= 32 && code < 127 ? String.fromCharCode(code) : '.')).join('');
    pre.append(
      h('span', { class: 'bpv-dim' }, start.toString(16).padStart(4, '0'), '  '),
      h('span', { class: 'bpv-dim' }, ...hex(line.slice(0, head))),
      ...hex(line.slice(head)),
      ' '.repeat(3 * (LINE - line.length) + 1),
      h('span', { class: 'bpv-dim' }, ascii(line.slice(0, head))),
      ascii(line.slice(head)),
      '\n'
    );
  }
  if (end < bytes.byteLength) pre.append(`… ${number(bytes.byteLength - end)} more bytes`);
  return pre;
}

export default {
  render({ model, el }: { model: AnyModel; el: HTMLElement }): () => void {
    return new PacketsView(model, el).dispose;
  }
};
