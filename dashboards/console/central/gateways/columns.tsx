import type { Column } from '@frame/parts/DataTable';
import { State } from '@frame/parts/State';
import { Link } from '@tanstack/react-router';

import { type Gateway, toneOfConnection } from './data';

/** What every table of gateways has: the name, a way to its page, and whether it is heard. */
export const NAME: Column<Pick<Gateway, 'name'>> = {
  id: 'name',
  head: 'Name',
  value: (row) => row.name,
  cell: (row) => (
    <Link to="/gateways/$name" params={{ name: row.name }}>
      {row.name}
    </Link>
  ),
};

export const CONNECTION: Column<Pick<Gateway, 'connection' | 'state'>> = {
  id: 'connection',
  head: 'Connection',
  value: (row) => row.connection,
  cell: (row) => <State tone={toneOfConnection(row)}>{row.connection}</State>,
};
