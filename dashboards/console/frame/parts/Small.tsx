import { useNavigate, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';

import { type Column, DataTable } from './DataTable';
import { orderOf, withOrder } from './sort';

interface Props<Row> {
  /** What the rows are, in the plural: the table's name, and what tells it apart from others of its page. */
  readonly what: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowKey: (row: Row) => string;
  /** Said where there is no row. */
  readonly none: ReactNode;
}

/** One of several tables of a page, of a few rows, which are all here. Its route takes `sort`, as a text. */
export function Small<Row>({ what, columns, rows, rowKey, none }: Props<Row>) {
  const { sort }: { readonly sort?: string } = useSearch({ strict: false });
  const navigate = useNavigate();
  const table = what.toLowerCase().replaceAll(/\W+/g, '-');
  return (
    <DataTable
      plain
      what={what}
      columns={columns}
      rows={rows}
      rowKey={rowKey}
      sort={orderOf(sort, table)}
      onSort={(order) => void navigate({ to: '.', search: (now: { readonly sort?: string }) => ({ ...now, sort: withOrder(now.sort, table, order) }), replace: true })}
      empty={<None>{none}</None>}
    />
  );
}

/** A component, not an element: a table that turned into this one would be taken for a place to which the keyboard can go back. */
function None({ children }: { readonly children: ReactNode }) {
  return <div className="sg-body">{children}</div>;
}
