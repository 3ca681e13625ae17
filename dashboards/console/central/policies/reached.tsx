import { Button, Select, Stack } from '@mantine/core';
import { useAskListEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Typed } from '@frame/parts/Typed';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import type { Schemas } from '../api';
import { listed, toneOfConnection } from '../gateways/data';
import { ConvergencePanel } from './convergence';
import { convergenceQuery } from './data';
import { howFar } from './progress';
import { convergenceRoute, REACHED } from './route';

type Row = Schemas['GatewayProgress'];

const NAMES = { effective: 'Effective', waiting: 'Not there yet', refused: 'Refused' } as const;

const isShown = (show: keyof typeof NAMES | undefined, row: Row): boolean =>
  show === undefined || (row.effective ? show === 'effective' : row.refusal ? show === 'refused' : show === 'waiting');

const COLUMNS: readonly Column<Row>[] = [
  {
    id: 'name',
    head: 'Gateway',
    value: (row) => row.name,
    cell: (row) => (
      <Link to="/gateways/$name" params={{ name: row.name }}>
        {row.name}
      </Link>
    ),
  },
  { id: 'connection', head: 'Connection', value: (row) => row.connection, cell: (row) => <State tone={toneOfConnection(row)}>{row.connection}</State> },
  {
    id: 'reached',
    head: 'How far',
    value: (row) => (row.effective ? 'effective' : row.refusal ? 'refused' : row.applied ? 'applied' : row.received ? 'received' : 'not received'),
    cell: (row) => (
      <State tone={row.effective ? 'good' : row.refusal ? 'bad' : 'warn'}>
        {row.effective ? 'effective' : row.refusal ? 'refused' : row.applied ? 'applied' : row.received ? 'received' : 'not received'}
      </State>
    ),
  },
  { id: 'why', head: 'Why', value: howFar, cell: (row) => <span className="sg-sentence">{howFar(row)}</span> },
  { id: 'uploads', head: 'Open uploads', hint: 'Begun under an older revision', align: 'right', value: (row) => row.uploads_open, cell: (row) => row.uploads_open },
];

/** How far each gateway has come with the newest revision: the rows behind the overview’s number. */
export function ConvergencePage() {
  const search = convergenceRoute.useSearch();
  const navigate = convergenceRoute.useNavigate();
  const only = listed(search.gateways);
  const asked = useQuery({ ...convergenceQuery(only), refetchInterval: useAskListEvery(), placeholderData: keepPreviousData });
  const rows = useMemo(() => asked.data?.by_gateway.filter((row) => isShown(search.show, row)), [asked.data, search.show]);
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const filtered = search.show !== undefined || search.gateways !== undefined;
  return (
    <Page
      title="Convergence"
      crumbs={[{ title: 'Revisions', to: '/revisions' }]}
      lead="A revision is received, then applied to new requests, and effective once no request is decided by an older one."
    >
      <Stack gap="sm">
        <ConvergencePanel only={only} brief />
        <div className="sg-panel">
          <DataTable
            what="gateways"
            columns={COLUMNS}
            rows={rows}
            rowKey={(row) => row.name}
            error={asked.error}
            again={() => void asked.refetch()}
            sort={search.sort}
            onSort={(sort) => set({ sort })}
            tools={
              <>
                <Select
                  label="Show"
                  w={170}
                  clearable
                  clearButtonProps={{ 'aria-label': 'All gateways' }}
                  placeholder="all"
                  value={search.show ?? null}
                  data={REACHED.map((value) => ({ value, label: NAMES[value] }))}
                  onChange={(value) => set({ show: REACHED.find((one) => one === value) })}
                />
                <Typed label="Gateways" placeholder="any" value={search.gateways} onChange={(gateways) => set({ gateways })} />
                {filtered && (
                  <Button variant="default" onClick={() => void navigate({ search: { sort: search.sort }, replace: true })}>
                    Reset
                  </Button>
                )}
              </>
            }
            empty={
              filtered ? (
                <Empty title="No gateway is like that">Reset the filter to see all gateways.</Empty>
              ) : (
                <Empty title="No gateway should have it">Gateways that are enrolled and in service get each revision.</Empty>
              )
            }
          />
        </div>
      </Stack>
    </Page>
  );
}
