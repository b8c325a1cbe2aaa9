// Captured packets: a table, and the bytes of the chosen one.
import type { AnyModel } from '@anywidget/types';
import { plain } from './parts/ansi';
import { copyButton, h, number } from './parts/dom';
import { SearchView } from './parts/table';
import { widget } from './parts/view';

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

const COLUMNS = ['vtime', 'source', 'destination', 'protocol', 'flags', 'length', 'payload'];
const SHOWN = 4096; // bytes in hex
const LINE = 16;

class PacketsView extends SearchView<State, Chosen, Row> {
  private readonly search: HTMLInputElement;

  constructor(model: AnyModel, el: HTMLElement) {
    super(model, el);
    const label = 'Search addresses, ports, protocols, flags and payload';
    this.search = h('input', {
      type: 'text', placeholder: label, 'aria-label': label,
      input: () => {
        this.whenTyped(() => this.ask('filter', { text: this.search.value }));
      }
    });
    const save = h('button', {
      class: 'bpv-button', type: 'button', title: 'Download the capture, for Wireshark',
      click: () => this.ask('save')
    }, 'Download .pcap');
    this.frame('Packets', [
      h('div', { class: 'bpv-bar' }, h('div', { class: 'bpv-search' }, this.search), save),
      this.error,
      this.scroller.el,
      this.detail
    ]);
    this.listen({ state: () => this.show(), chosen: () => this.showChosen(true) });
    this.show();
    this.showChosen(false);
  }

  protected table() {
    return {
      label: 'Packets',
      columns: COLUMNS.map(name => ({ title: name === 'vtime' ? 'vtime (s)' : name, name })),
      widths: '11ch minmax(0, 18ch) minmax(0, 18ch) 8ch 7ch 6ch minmax(0, 1fr)'
    };
  }

  // -- messages of the kernel

  private show(): void {
    const { text, notes } = this.state;
    const fresh = this.showFound('packet', notes.map(plain));
    if (fresh && document.activeElement !== this.search) this.search.value = text;
  }

  private showChosen(fresh: boolean): void {
    const { chosen } = this;
    this.detail.hidden = chosen.number === undefined;
    if (chosen.number === undefined || !chosen.bytes) return;
    if (chosen.row !== undefined && chosen.row >= 0) this.scroller.mark(chosen.row, fresh);
    const { bytes, payload = 0, dissected, id, vtime, number: which } = chosen;
    const code = id ? `run.at("${id}")` : '';
    const dissect = h('button', {
      class: 'bpv-button', type: 'button', title: 'Decode this packet with tshark',
      click: () => this.ask('dissect')
    }, 'Dissect');
    this.detail.replaceChildren(
      h('div', { class: 'bpv-moment' },
        `packet ${which}`,
        code ? h('code', {}, code) : `${vtime} s`,
        code ? copyButton('Copy the moment of this packet', () => code) : null,
        this.state.can_dissect && !dissected ? dissect : null,
        h('span', { class: 'bpv-space' }),
        h('span', {}, `${bytes.byteLength} bytes, payload starts at byte ${payload}`)),
      dump(bytes, payload),
      dissected ? h('pre', {}, plain(dissected)) : ''
    );
  }

  protected override answered(answer: { answer: string }, buffers: DataView[] = []): void {
    super.answered(answer);
    if (answer.answer !== 'pcap' || !buffers[0]) return;
    const type = 'application/vnd.tcpdump.pcap';
    const address = URL.createObjectURL(new Blob([buffers[0] as BlobPart], { type }));
    h('a', { href: address, download: 'capture.pcap' }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  protected choose(item: Row): void {
    this.ask('select', { number: item[0] });
  }

  // -- a row

  protected fill(cells: HTMLElement[], item: Row | undefined, row: HTMLElement): void {
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

/** Bytes in hex and in ASCII; all bytes except the payload are dimmed. */
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

export default widget(PacketsView);
