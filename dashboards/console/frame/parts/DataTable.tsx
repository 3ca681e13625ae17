import { Button, Tooltip } from '@mantine/core';
import { IconArrowDown, IconArrowUp, IconArrowsSort, IconDownload } from '@tabler/icons-react';
import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, type ReactElement, type ReactNode, useEffect, useMemo, useRef, useState } from 'react';

import { type Cell, csv, save } from '../csv';
import { count, plural } from '../format';
import { printing } from '../printing';
import { useStore } from '../store';
import { type Asked, Failure, hasFailed, Kept, Loading } from './Note';
import { compare, type Sort, sortOf, sortText } from './sort';

/** A column of the export only: what the page shows otherwise, or elsewhere. */
interface FileColumn<Row> {
  readonly id: string;
  readonly head: string;
  readonly file: true;
  readonly value: (row: Row) => Cell;
}

/** A column: how a row shows in it, and what it is worth where it is sorted and exported. */
interface ShownColumn<Row> {
  readonly id: string;
  readonly head: string;
  readonly file?: undefined;
  /** What it means, on hover. */
  readonly hint?: string;
  readonly cell: (row: Row) => ReactNode;
  /** For the export, and for the order where the whole table is here; absent: the column holds what can be done. */
  readonly value?: (row: Row) => Cell;
  readonly align?: 'right';
  /** Cut off where it is too long. */
  readonly clip?: boolean;
  /** Never over several lines: names, whose hyphens are no place to break at. */
  readonly line?: boolean;
}

export type Column<Row> = ShownColumn<Row> | FileColumn<Row>;

interface Props<Row> {
  /** What the rows are, in the plural: the table's name. */
  readonly what: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[] | undefined;
  readonly rowKey: (row: Row) => string;
  /** The question that the rows are the answer to; absent: whoever shows the table says how it fared. */
  readonly asked?: Asked & { readonly isFetchNextPageError?: boolean };
  /** Shown where there is no row. */
  readonly empty: ReactNode;
  /** Filters and the like. */
  readonly tools?: ReactNode;
  /** The order, as the URL has it. */
  readonly sort?: string | undefined;
  /** The columns by which the service puts the rows in order; absent: all rows are here, so the table does it by any. */
  readonly sorted?: readonly string[];
  readonly onSort?: (sort: string | undefined) => void;
  /** There are further rows at the service. */
  readonly more?: { readonly has: boolean; readonly busy: boolean; readonly load: () => void };
  /** How many rows there are in all, where that is known. */
  readonly total?: number | undefined;
  /** Everything that the filter finds, for the export, where not all is here. */
  readonly all?: () => Promise<readonly Row[]>;
  /** A few rows that need no scrolling of their own. */
  readonly plain?: boolean;
}

const ROW_PX = 40;
/** Rows from the end at which the next page is asked for. */
const AHEAD = 30;

/** A table: virtual rows under a head that stays, further pages as they are scrolled to, export of all of it. */
export function DataTable<Row>(props: Props<Row>) {
  const { what, columns: told, rows, rowKey, asked, empty, tools, sort, sorted, onSort, more, total, all, plain = false } = props;
  const columns = useMemo(() => told.filter((column): column is ShownColumn<Row> => column.file !== true), [told]);
  const onPaper = useStore(printing) !== undefined;
  const [exporting, setExporting] = useState(false);
  const [exportError, setExportError] = useState<unknown>(null);
  const scroller = useRef<HTMLDivElement>(null);

  const ordered = useMemo(() => {
    const by = sorted ? undefined : sortOf(sort);
    const column = columns.find((candidate) => candidate.id === by?.by);
    const value = column?.value;
    if (!rows || !by || !value) return rows ?? [];
    return rows.toSorted((a, b) => compare(value(a), value(b), by.down));
  }, [rows, sort, sorted, columns]);

  const virtual = useVirtualizer({
    count: ordered.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
    getItemKey: (index) => {
      const row = ordered[index];
      return row === undefined ? index : rowKey(row);
    },
  });
  const whole = onPaper || plain;
  const items = whole ? undefined : virtual.getVirtualItems();
  const last = items?.at(-1)?.index ?? 0;

  const failed = hasFailed(asked);
  useEffect(() => {
    // What failed is asked for again by hand, or with all of the list: here it would be without a pause.
    if (more?.has === true && !more.busy && !failed && rows !== undefined && (whole || last >= ordered.length - AHEAD)) more.load();
  }, [more, last, ordered.length, rows, whole, failed]);

  const exportRows = async () => {
    setExporting(true);
    setExportError(null);
    try {
      const wanted = all && more?.has === true ? await all() : ordered;
      const kept = told.filter((column) => column.value !== undefined);
      const text = csv(kept.map((column) => column.head), wanted.map((row) => kept.map((column) => column.value?.(row))));
      save(`sealgate-${what.replaceAll(' ', '-')}-${new Date().toISOString().slice(0, 10)}.csv`, text);
    } catch (failure) {
      setExportError(failure);
    } finally {
      setExporting(false);
    }
  };

  const row = (index: number) => {
    const one = ordered[index];
    if (one === undefined) return null;
    return <Line key={rowKey(one)} row={one} index={index} columns={columns} measure={whole ? undefined : virtual.measureElement} />;
  };

  const above = items?.[0]?.start ?? 0;
  const below = items ? virtual.getTotalSize() - (items.at(-1)?.end ?? 0) : 0;
  return (
    <>
      {tools !== undefined && <div className="sg-table-tools">{tools}</div>}
      {failed && rows !== undefined && asked.isFetchNextPageError !== true && <Kept of={asked} />}
      {failed && rows === undefined ? (
        <div className="sg-body">
          <Failure error={asked.error} again={() => void asked.refetch()} />
        </div>
      ) : rows === undefined ? (
        <Loading what={what} lines={8} />
      ) : rows.length === 0 && more?.has === true ? (
        !failed && <Loading what={what} lines={8} />
      ) : rows.length === 0 ? (
        empty
      ) : (
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard
        <div className="sg-table-scroll" ref={scroller} role="region" aria-label={`Table of ${what}`} tabIndex={0}>
          <table className="sg-table" aria-rowcount={(total ?? ordered.length) + 1}>
            <caption className="sg-hidden">{what}</caption>
            <thead>
              <tr aria-rowindex={1}>
                {columns.map((column) => (
                  <Head key={column.id} column={column} sort={sortOf(sort)} onSort={sorted?.includes(column.id) === false ? undefined : onSort} />
                ))}
              </tr>
            </thead>
            <tbody>
              {above > 0 && (
                <tr className="sg-space" aria-hidden>
                  <td colSpan={columns.length} style={{ height: above }} />
                </tr>
              )}
              {items ? items.map((item) => row(item.index)) : ordered.map((_, index) => row(index))}
              {below > 0 && (
                <tr className="sg-space" aria-hidden>
                  <td colSpan={columns.length} style={{ height: below }} />
                </tr>
              )}
            </tbody>
          </table>
        </div>
      )}
      {failed && asked.isFetchNextPageError === true && more?.has === true && (
        <div className="sg-body">
          <Failure error={asked.error} again={more.load} />
        </div>
      )}
      {rows !== undefined && rows.length > 0 && (
        <div className="sg-table-foot">
          <span role="status" style={{ flex: 1 }}>
            {more?.has === true
              ? `${count(rows.length)}${total === undefined ? '' : ` of ${count(total)}`} ${what} loaded${failed ? '' : '; scroll for more'}`
              : plural(rows.length, 'row')}
          </span>
          {exportError !== null && <Failure error={exportError} />}
          <Button
            className="sg-no-print"
            size="compact-sm"
            variant="default"
            leftSection={<IconDownload size={14} aria-hidden />}
            loading={exporting}
            onClick={exportRows}
          >
            Export CSV
          </Button>
        </div>
      )}
    </>
  );
}

interface LineProps<Row> {
  readonly row: Row;
  readonly index: number;
  readonly columns: readonly ShownColumn<Row>[];
  readonly measure: ((node: Element | null) => void) | undefined;
}

/** A row that is drawn once: while others are scrolled to, those that stay cost nothing. */
const Line = memo(function Line<Row>({ row, index, columns, measure }: LineProps<Row>) {
  return (
    <tr aria-rowindex={index + 2} data-index={index} ref={measure}>
      {columns.map((column) => (
        <td key={column.id} data-align={column.align} className={column.clip === true ? 'sg-clip' : column.line === true ? 'sg-line' : undefined}>
          {column.cell(row)}
        </td>
      ))}
    </tr>
  );
}) as <Row>(props: LineProps<Row>) => ReactNode;

interface HeadProps<Row> {
  readonly column: ShownColumn<Row>;
  readonly sort: Sort | undefined;
  readonly onSort: ((sort: string | undefined) => void) | undefined;
}

function Head<Row>({ column, sort, onSort }: HeadProps<Row>) {
  const mine = sort?.by === column.id ? sort : undefined;
  if (!onSort || !column.value) {
    return (
      <th scope="col" data-align={column.align}>
        {column.hint === undefined ? column.head : <Hinted hint={column.hint}><button type="button" className="sg-hint">{column.head}</button></Hinted>}
      </th>
    );
  }
  const next = mine === undefined ? sortText({ by: column.id, down: false }) : mine.down ? undefined : sortText({ by: column.id, down: true });
  const Sign = mine === undefined ? IconArrowsSort : mine.down ? IconArrowDown : IconArrowUp;
  return (
    <th scope="col" data-align={column.align} aria-sort={mine === undefined ? 'none' : mine.down ? 'descending' : 'ascending'}>
      <Hinted hint={column.hint}>
        <button type="button" onClick={() => onSort(next)}>
          {column.head}
          <Sign size={13} aria-hidden opacity={mine ? 1 : 0.45} />
        </button>
      </Hinted>
    </th>
  );
}

/** A button in a head: what its column means is told on hover, and when the keyboard comes to it. */
function Hinted({ hint, children }: { readonly hint: string | undefined; readonly children: ReactElement }) {
  if (hint === undefined) return children;
  return (
    <Tooltip label={hint} multiline maw={280}>
      {children}
    </Tooltip>
  );
}
