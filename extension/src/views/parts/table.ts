// Views with a table: its rows come from the kernel; details of the chosen row are shown below.
import { h, number } from './dom';
import { Scroller, type Options } from './scroller';
import { View } from './view';

const TYPING = 80; // ms without a key before a search starts

interface Rows<Row> {
  answer: string;
  generation: number;
  start: number;
  rows: Row[];
}

interface Found<Row> {
  generation: number;
  count: number;
  total: number;
  scanned: number;
  /** Number of rows of the table, if it is smaller than the number of results. */
  rows?: number;
  /** The row to scroll to; -1: the first. */
  at?: number;
  start?: number;
  first?: Row[];
  /** Whether the scroll position stays. */
  stays?: boolean;
}

export abstract class TableView<State, Chosen, Row> extends View<State, Chosen> {
  protected readonly detail = h('div', { class: 'bpv-detail', hidden: true });
  protected readonly scroller: Scroller<Row>;
  private generation = -1;

  constructor(...page: ConstructorParameters<typeof View>) {
    super(...page);
    this.scroller = new Scroller<Row>({
      ...this.table(),
      fill: (cells, item, row) => this.fill(cells, item, row),
      ask: (start, count) => this.ask('rows', { generation: this.generation, start, count }),
      choose: (item, index) => this.choose(item, index)
    });
    this.whenDisposed(() => this.scroller.dispose());
  }

  /** Columns and label of the table. Called before the rest of the view is made. */
  protected abstract table(): Pick<Options<Row>, 'label' | 'columns' | 'widths' | 'moved'>;

  /** Fill the cells of a row; `item` is undefined while it is being fetched. */
  protected abstract fill(cells: HTMLElement[], item: Row | undefined, row: HTMLElement): void;

  protected abstract choose(item: Row, index: number): void;

  /** Show these rows, unless they are shown already; returns whether they were not. */
  protected renew(
    generation: number, count: number, rows: Row[], start = 0, stays = false
  ): boolean {
    if (generation === this.generation) return false;
    this.generation = generation;
    this.scroller.reset(count, rows, start, stays);
    return true;
  }

  protected override answered(answer: { answer: string }): void {
    if (answer.answer !== 'rows') return;
    const { generation, start, rows } = answer as Rows<Row>;
    if (generation === this.generation) this.scroller.put(start, rows);
  }
}

export abstract class SearchView<
  State extends Found<Row>, Chosen, Row
> extends TableView<State, Chosen, Row> {
  private typing: ReturnType<typeof setTimeout> | undefined;

  constructor(...page: ConstructorParameters<typeof View>) {
    super(...page);
    this.whenDisposed(() => this.stopTyping());
  }

  /** Show what was found; returns whether it belongs to a new search. */
  protected showFound(what: string, notes: string[] = []): boolean {
    const { generation, count, total, scanned, first, start, stays } = this.state;
    const { rows = count, at = -1 } = this.state;
    const fresh = this.renew(generation, rows, first ?? [], start, stays);
    if (fresh) this.error.hidden = true;
    else this.scroller.resize(rows);
    if (fresh && at >= 0) this.scroller.reveal(at);
    const few = count !== total ? `${number(count)} of ` : '';
    const searching = scanned < 1 ? ` · searching, ${Math.floor(scanned * 100)} %` : '';
    const words = `${few}${number(total)} ${what}${total === 1 ? '' : 's'}${searching}`;
    this.status.textContent = [words, ...notes].join(' · ');
    if (scanned < 1) this.ask('more', { generation });
    return fresh;
  }

  /** Do something when the user has stopped typing. */
  protected whenTyped(action: () => void): void {
    this.stopTyping();
    this.typing = setTimeout(action, TYPING);
  }

  protected stopTyping(): void {
    clearTimeout(this.typing);
  }
}
