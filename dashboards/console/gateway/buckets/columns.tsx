import { count } from '@frame/format';
import type { Column } from '@frame/parts/DataTable';
import { Link } from '@tanstack/react-router';

import type { Bucket } from './data';
import { Because, Effective } from './why';

const known = (value: number | null | undefined): string => (value === null || value === undefined ? 'not known' : count(value));

/** The bucket itself: the way to what lies in it. */
export const nameColumn: Column<Bucket> = {
  id: 'bucket',
  head: 'Bucket',
  value: (row) => row.bucket,
  cell: (row) => (
    <Link to="/objects" search={{ bucket: row.bucket }}>
      {row.bucket}
    </Link>
  ),
};

/** What becomes of new objects and why, and what is known to be stored. */
export const stateColumns: readonly Column<Bucket>[] = [
  {
    id: 'effective',
    head: 'New objects',
    value: (row) => (row.effective ? 'encrypted' : 'stored as they are'),
    cell: (row) => <Effective of={row} />,
  },
  { id: 'because', line: true, head: 'Because of', value: (row) => row.because, cell: (row) => <Because of={row} /> },
  { id: 'encrypted', head: 'Encrypted', hint: 'Objects known to be stored encrypted', align: 'right', value: (row) => row.objects_encrypted, cell: (row) => known(row.objects_encrypted) },
  { id: 'plain', head: 'Plain', hint: 'Objects known to be stored as they are', align: 'right', value: (row) => row.objects_plain, cell: (row) => known(row.objects_plain) },
];
