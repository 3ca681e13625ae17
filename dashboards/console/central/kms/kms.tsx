import { Button, Group, Stack } from '@mantine/core';
import { read } from '@frame/api';
import { count, plural } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note } from '@frame/parts/Note';
import { Page, Panel } from '@frame/parts/Page';
import { orderOf, withOrder } from '@frame/parts/sort';
import { State, Tag } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import { api, type Schemas } from '../api';
import { listed } from '../gateways/data';
import { inventoriesQuery, type Kms as Told } from '../overview/data';
import { KMS_COLUMNS } from './columns';
import { kmsRoute } from './route';

interface Row extends Told {
  readonly storage: string;
  readonly gateway: string;
  readonly at: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ...KMS_COLUMNS,
  {
    id: 'gateway',
    head: 'Told by',
    value: (row) => row.gateway,
    cell: (row) => (
      <Link to="/gateways/$name" params={{ name: row.gateway }}>
        {row.gateway}
      </Link>
    ),
  },
  { id: 'storage', line: true, head: 'Storage', value: (row) => row.storage, cell: (row) => <code>{row.storage}</code> },
  { id: 'at', head: 'Looked', value: (row) => row.at, cell: (row) => <Time at={row.at} /> },
];

const CALLS: readonly Column<Schemas['KmsRow']>[] = [
  {
    id: 'gateway',
    head: 'Gateway',
    value: (row) => row.gateway,
    cell: (row) => (
      <Link to="/gateways/$name" params={{ name: row.gateway }}>
        {row.gateway}
      </Link>
    ),
  },
  { id: 'kms', head: 'KMS ID', value: (row) => row.kms, cell: (row) => row.kms },
  { id: 'operation', head: 'Operation', value: (row) => row.operation, cell: (row) => row.operation },
  { id: 'result', head: 'Result', value: (row) => row.result, cell: (row) => <State tone={row.result === 'ok' ? 'good' : 'bad'}>{row.result}</State> },
  { id: 'calls', head: 'Calls', align: 'right', value: (row) => row.calls, cell: (row) => count(row.calls) },
];

/** The key management behind the gateways: no secret of it is known here. */
export function Kms() {
  const search = kmsRoute.useSearch();
  const only = listed(search.gateways);
  const navigate = kmsRoute.useNavigate();
  const every = { refetchInterval: useAskEvery() };
  const inventories = useQuery({ ...inventoriesQuery(only), ...every });
  const calls = useQuery({
    queryKey: ['statistics', 'kms', only],
    queryFn: ({ signal }) => read(api.GET('/api/v1/stats/kms', { params: { query: { gateway: only } }, signal })),
    ...every,
  });
  const rows = useMemo(
    () =>
      inventories.data?.inventories.flatMap((one) =>
        one.content.kms.map((kms): Row => ({ ...kms, storage: one.storage_id, gateway: one.gateway, at: one.taken_at })),
      ),
    [inventories.data],
  );
  return (
    <Page title="KMS" lead="Where the gateways’ key encryption keys come from, as they told it. Central knows no key, and cannot decrypt.">
      <Stack gap="sm">
        {only.length > 0 && (
          <Group gap="xs">
            <Tag tone="accent">{only.length === 1 ? `only ${only[0] ?? ''}` : `only ${plural(only.length, 'chosen gateway')}`}</Tag>
            <Button size="compact-sm" variant="default" onClick={() => void navigate({ search: { sort: search.sort }, replace: true })}>
              Reset
            </Button>
          </Group>
        )}
        {inventories.data?.truncated === true && (
          <Note tone="warn">There are more than {count(inventories.data.inventories.length)} storages; these are the first of them. Choose gateways at the overview to see theirs.</Note>
        )}
        <Panel title="Configured" flush>
          <DataTable
            what="KMS"
            columns={COLUMNS}
            rows={rows}
            rowKey={(row) => `${row.storage} ${row.id}`}
            asked={inventories}
            plain
            sort={orderOf(search.sort, 'kms')}
            onSort={(order) => void navigate({ search: { ...search, sort: withOrder(search.sort, 'kms', order) }, replace: true })}
            empty={<Empty title="No KMS is known yet">A KMS is added at a gateway; the gateways over one storage share it.</Empty>}
          />
        </Panel>
        <Panel title="Calls, ever" flush>
          <DataTable
            what="KMS calls"
            columns={CALLS}
            rows={calls.data?.rows}
            rowKey={(row) => [row.gateway, row.kms, row.operation, row.result].join(' ')}
            asked={calls}
            sort={orderOf(search.sort, 'calls')}
            onSort={(order) => void navigate({ search: { ...search, sort: withOrder(search.sort, 'calls', order) }, replace: true })}
            empty={<Empty title="No call was counted yet">A gateway asks its KMS when it makes or opens a key encryption key.</Empty>}
          />
        </Panel>
      </Stack>
    </Page>
  );
}
