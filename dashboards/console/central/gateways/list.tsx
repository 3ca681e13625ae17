import { Button, Checkbox, Select } from '@mantine/core';
import { bytes, count, plural } from '@frame/format';
import { useAskListEvery } from '@frame/live';
import { Empty } from '@frame/parts/Note';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Page } from '@frame/parts/Page';
import { Labels, State, Tag } from '@frame/parts/State';
import { Lasting, Time } from '@frame/parts/Time';
import { Typed } from '@frame/parts/Typed';
import { narrowed } from '@frame/search';
import { may, session } from '@frame/session';
import { useStore } from '@frame/store';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import { CONNECTION, NAME } from './columns';
import { everyGateway, type Gateway, gatewaysQuery, listed, toneOfCertificate, toneOfState } from './data';
import { CONNECTIONS, type GatewaySort, gatewaysRoute, SORTS, STATES } from './route';

const COLUMNS: readonly Column<Gateway>[] = [
  NAME,
  {
    id: 'state',
    head: 'State',
    value: (row) => row.state,
    cell: (row) => <State tone={toneOfState(row.state)}>{row.state}</State>,
  },
  CONNECTION,
  {
    id: 'labels',
    head: 'Labels',
    value: (row) => Object.entries(row.labels).map(([key, value]) => `${key}=${value}`).join(' '),
    cell: (row) => <Labels of={row.labels} />,
  },
  { id: 'version', head: 'Version', value: (row) => row.version, cell: (row) => row.version },
  {
    id: 'revision',
    head: 'Revision',
    hint: 'The policy revision that it holds, and whether it is effective: no request is decided by an older one any more',
    align: 'right',
    value: (row) => row.revision,
    cell: (row) => row.revision,
  },
  {
    id: 'effective',
    head: 'Effective',
    hint: 'The revision under which no older decision is still being carried out',
    align: 'right',
    value: (row) => row.effective_revision,
    cell: (row) =>
      row.refusal ? (
        <State tone="bad">refuses {row.refusal.revision}</State>
      ) : row.effective_revision < row.revision ? (
        <State tone="warn">{row.effective_revision}</State>
      ) : (
        row.effective_revision
      ),
  },
  { id: 'in', head: 'Data in', hint: 'Plaintext bytes that it stored, ever', align: 'right', value: (row) => row.bytes_in, cell: (row) => <span title={`${count(row.bytes_in)} bytes`}>{bytes(row.bytes_in)}</span> },
  { id: 'out', head: 'Data out', hint: 'Plaintext bytes that clients read from it, ever', align: 'right', value: (row) => row.bytes_out, cell: (row) => <span title={`${count(row.bytes_out)} bytes`}>{bytes(row.bytes_out)}</span> },
  {
    id: 'seen',
    head: 'Connected or last seen',
    value: (row) => row.since,
    cell: (row) => (
      <>
        {row.connection === 'connected' && row.since ? <Lasting since={row.since} /> : <Time at={row.since} />}
      </>
    ),
  },
  {
    id: 'certificate',
    head: 'Certificate ends',
    value: (row) => row.certificate_not_after,
    cell: (row) => (
      <State tone={toneOfCertificate(row.certificate_not_after, Date.now())}>
        <Time at={row.certificate_not_after} never="none" />
      </State>
    ),
  },
];

/** Each once: one whose place in the order changed while pages were read stands on two of them. */
function once(rows: readonly Gateway[] | undefined): readonly Gateway[] | undefined {
  return rows && [...new Map(rows.map((row) => [row.id, row])).values()];
}

/** Every gateway: filtered and put in order by the service, read page by page as it is scrolled. */
export function GatewayList() {
  const search = gatewaysRoute.useSearch();
  const navigate = gatewaysRoute.useNavigate();
  const now = useStore(session);
  const list = useInfiniteQuery({ ...gatewaysQuery(search), refetchInterval: useAskListEvery(), placeholderData: keepPreviousData });
  const rows = useMemo(() => once(list.data?.pages.flatMap((page) => page.gateways)), [list.data]);
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const { sort, ...filter } = search;
  const filtered = narrowed(filter);
  const chosen = listed(search.gateways);
  const enrol = may(now, 'manage-gateways') && (
    <Button component={Link} to="/enrol">
      Enrol a gateway
    </Button>
  );
  return (
    <Page title="Gateways" lead="What stands between S3 clients and storage. Each holds the fleet’s policies and works without Central." actions={enrol}>
      <div className="sg-panel">
        <DataTable
          what="gateways"
          columns={COLUMNS}
          rows={rows}
          rowKey={(row) => row.id}
          asked={list}
          more={{ has: list.hasNextPage, busy: list.isFetchingNextPage, load: () => void list.fetchNextPage() }}
          total={list.data?.pages[0]?.total}
          all={() => everyGateway(search)}
          sort={sort}
          sorted={SORTS}
          onSort={(to) => set({ sort: to as GatewaySort | undefined })}
          tools={
            <>
              <Typed label="Name or label" placeholder="eu-1 or region=eu" value={search.q} onChange={(q) => set({ q })} />
              <Select
                label="State"
                w={150}
                clearable
                clearButtonProps={{ 'aria-label': 'Any state' }}
                placeholder="any"
                value={search.state ?? null}
                data={STATES}
                onChange={(value) => set({ state: STATES.find((one) => one === value) })}
              />
              <Select
                label="Connection"
                w={150}
                clearable
                clearButtonProps={{ 'aria-label': 'Any connection' }}
                placeholder="any"
                value={search.connection ?? null}
                data={CONNECTIONS}
                onChange={(value) => set({ connection: CONNECTIONS.find((one) => one === value) })}
              />
              <Checkbox
                label="Refusing a revision"
                checked={search.refusing === true}
                onChange={(event) => set({ refusing: event.currentTarget.checked || undefined })}
                pb={8}
              />
              <Checkbox
                label="Behind the newest"
                checked={search.behind === true}
                onChange={(event) => set({ behind: event.currentTarget.checked || undefined })}
                pb={8}
              />
              <Checkbox
                label="Without retired"
                checked={search.retired === 'no'}
                onChange={(event) => set({ retired: event.currentTarget.checked ? 'no' : undefined })}
                pb={8}
              />
              {chosen.length > 0 && <Tag tone="accent">{chosen.length === 1 ? `only ${chosen[0] ?? ''}` : `only ${plural(chosen.length, 'chosen gateway')}`}</Tag>}
              {filtered && (
                <Button variant="default" onClick={() => void navigate({ search: { sort }, replace: true })}>
                  Reset
                </Button>
              )}
            </>
          }
          empty={
            filtered ? (
              <Empty title="No gateway is like that">Reset the filter to see all gateways.</Empty>
            ) : (
              <Empty title="No gateway is enrolled" action={enrol}>
                A gateway joins with a token of one use. Make one, and paste one command on the gateway’s machine.
              </Empty>
            )
          }
        />
      </div>
      {search.refusing && <Tag tone="bad">Each refusal stands on the gateway’s own page, with its reason.</Tag>}
    </Page>
  );
}
