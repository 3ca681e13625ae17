import { Stack } from '@mantine/core';
import { bytes, count, share } from '@frame/format';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State, Tag } from '@frame/parts/State';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { type Backend, backendsQuery, EVERY_MS } from './data';
import { backendsRoute } from './route';

const KINDS: Readonly<Record<string, string>> = { directory: 'directory on this machine', s3: 'S3 service' };

/** The storages behind the gateway. */
export function Backends() {
  const search = backendsRoute.useSearch();
  const navigate = backendsRoute.useNavigate();
  const list = useQuery({ ...backendsQuery(), refetchInterval: EVERY_MS });
  const away = list.data?.backends.filter((one) => !one.reachable) ?? [];
  const columns: readonly Column<Backend>[] = [
    {
      id: 'name',
      head: 'Backend',
      value: (row) => row.name,
      cell: (row) => (
        <>
          {row.name} {row.home && <Tag tone="accent">home</Tag>}
        </>
      ),
    },
    { id: 'state', head: 'State', value: (row) => (row.reachable ? 'answers' : 'does not answer'), cell: (row) => <State tone={row.reachable ? 'good' : 'bad'}>{row.reachable ? 'answers' : 'does not answer'}</State> },
    { id: 'kind', line: true, head: 'Kind', value: (row) => row.kind, cell: (row) => KINDS[row.kind] ?? row.kind },
    { id: 'endpoint', head: 'Address', clip: true, value: (row) => row.endpoint, cell: (row) => (row.endpoint ? <code title={row.endpoint}>{row.endpoint}</code> : '–') },
    { id: 'region', head: 'Region', value: (row) => row.region, cell: (row) => row.region ?? '–' },
    {
      id: 'answered',
      head: 'Answered in',
      hint: 'How long it took to list its buckets just now',
      align: 'right',
      value: (row) => row.answered_ms,
      cell: (row) => (row.answered_ms === null || row.answered_ms === undefined ? '–' : row.answered_ms === 0 ? '< 1 ms' : `${count(row.answered_ms)} ms`),
    },
    { id: 'buckets', head: 'Buckets', hint: 'Those that clients see there', align: 'right', value: (row) => row.buckets, cell: (row) => (row.buckets === null || row.buckets === undefined ? 'not known' : <Link to="/buckets">{count(row.buckets)}</Link>) },
    { id: 'requests', head: 'Requests', hint: 'Since the gateway’s local store was made', align: 'right', value: (row) => row.requests, cell: (row) => count(row.requests) },
    {
      id: 'errors',
      head: 'Errors',
      hint: 'Requests that it did not answer, or with a fault of its own',
      align: 'right',
      value: (row) => row.errors,
      cell: (row) => (row.errors === 0 ? '0' : <State tone="warn">{`${count(row.errors)} (${share(row.errors, row.requests)})`}</State>),
    },
    { id: 'sent', head: 'Data to it', align: 'right', value: (row) => row.bytes_sent, cell: (row) => <span title={`${count(row.bytes_sent)} bytes`}>{bytes(row.bytes_sent)}</span> },
    { id: 'received', head: 'Data from it', align: 'right', value: (row) => row.bytes_received, cell: (row) => <span title={`${count(row.bytes_received)} bytes`}>{bytes(row.bytes_received)}</span> },
  ];
  return (
    <Page title="Backends" lead="Where the objects lie. Backends are set in the configuration file of each gateway; what is counted here is this gateway’s own traffic, since its local store was made.">
      <Stack gap="sm">
        {away.map((one) => (
          <Note key={one.name} tone="bad" title={`${one.name} does not answer`}>
            {`${one.error ?? 'No reason is known.'} Its buckets cannot be read or written until it does. Look at the storage, the network between, and the credentials in the configuration.`}
          </Note>
        ))}
        <div className="sg-panel">
          <DataTable
            what="backends"
            columns={columns}
            rows={list.data?.backends}
            rowKey={(row) => row.name}
            asked={list}
            sort={search.sort}
            onSort={(sort) => void navigate({ search: { sort }, replace: true })}
            empty={<Empty title="There is no backend">The configuration file of the gateway names one.</Empty>}
          />
        </div>
        <Note>
          <p>
            The backend that is <strong>home</strong> holds the system bucket, and every bucket that <Link to="/settings">is not mapped</Link> to another one.
          </p>
        </Note>
      </Stack>
    </Page>
  );
}
