import { count } from '@frame/format';
import type { Column } from '@frame/parts/DataTable';
import { State, Tag } from '@frame/parts/State';
import { Time, moment } from '@frame/parts/Time';

import type { Kms } from '../overview/data';

/** What a storage's gateways told of a KMS. */
export const KMS_COLUMNS: readonly Column<Kms>[] = [
  { id: 'id', line: true, head: 'KMS ID', value: (row) => row.id, cell: (row) => <>{row.id} {row.active && <Tag tone="accent">active</Tag>}</> },
  { id: 'active', head: 'Active', file: true, value: (row) => row.active },
  { id: 'provider', head: 'Provider', value: (row) => row.provider, cell: (row) => row.provider },
  { id: 'state', head: 'State', value: (row) => row.state, cell: (row) => <State tone={row.state === 'ok' ? 'good' : 'bad'}>{row.state}</State> },
  { id: 'keys', head: 'Versions', hint: 'Of its master key', align: 'right', value: (row) => row.key_versions, cell: (row) => count(row.key_versions) },
  {
    id: 'objects',
    head: 'Objects',
    hint: 'Stored objects that are known to need it: without its keys nobody can read them',
    align: 'right',
    value: (row) => row.objects,
    cell: (row) => (row.objects === undefined ? 'not told' : count(row.objects)),
  },
  { id: 'newest', head: 'Newest key', value: (row) => moment(row.newest_key_ms), cell: (row) => <Time at={moment(row.newest_key_ms)} never="–" /> },
];
