import { Button, Select, Stack } from '@mantine/core';
import { useAskListEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Typed } from '@frame/parts/Typed';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { useMemo } from 'react';

import { CONNECTION, NAME } from '../gateways/columns';
import { listed } from '../gateways/data';
import { ConvergencePanel } from './convergence';
import { type Convergence, everyProgress, type GatewayProgress, progressQuery } from './data';
import { howFar, reached } from './progress';
import { convergenceRoute, REACHED } from './route';

const NAMES = { effective: 'Effective', waiting: 'Not there yet', refused: 'Refused' } as const;

const COLUMNS: readonly Column<GatewayProgress>[] = [
  NAME,
  CONNECTION,
  {
    id: 'reached',
    head: 'How far',
    value: reached,
    cell: (row) => <State tone={row.effective ? 'good' : row.refusal ? 'bad' : 'warn'}>{reached(row)}</State>,
  },
  { id: 'why', head: 'Why', value: howFar, cell: (row) => <span className="sg-sentence">{howFar(row)}</span> },
  { id: 'uploads', head: 'Open uploads', hint: 'Begun under an older revision', align: 'right', value: (row) => row.uploads_open, cell: (row) => row.uploads_open },
];

/** How many rows a filter has. */
function totalOf({ gateways, effective, refused }: Convergence, show: (typeof REACHED)[number] | undefined): number {
  switch (show) {
    case undefined:
      return gateways;
    case 'effective':
      return effective;
    case 'refused':
      return refused;
    case 'waiting':
      return gateways - effective - refused;
  }
}

/** How far each gateway has come with the newest revision: the rows behind the overview’s number. */
export function ConvergencePage() {
  const search = convergenceRoute.useSearch();
  const navigate = convergenceRoute.useNavigate();
  const only = listed(search.gateways);
  const list = useInfiniteQuery({ ...progressQuery(only, search.show), refetchInterval: useAskListEvery(), placeholderData: keepPreviousData });
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.by_gateway), [list.data]);
  const first = list.data?.pages[0];
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
            asked={list}
            more={{ has: list.hasNextPage, busy: list.isFetchingNextPage, load: () => void list.fetchNextPage() }}
            total={first && totalOf(first, search.show)}
            all={() => everyProgress(only, search.show)}
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
                  <Button variant="default" onClick={() => void navigate({ search: {}, replace: true })}>
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
