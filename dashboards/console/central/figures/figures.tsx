import { Button, Select } from '@mantine/core';
import { bytes, count } from '@frame/format';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { Typed } from '@frame/parts/Typed';
import { useAskEvery } from '@frame/live';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import { listed } from '../gateways/data';
import { figuresQuery, OUTCOMES, type Row } from './data';
import { BY, figuresRoute, SINCE } from './route';

const NAMES = { gateway: 'Gateway', bucket: 'Bucket', policy: 'Policy', outcome: 'Outcome', 'policy-outcome': 'Policy and outcome', key: 'Nothing: every row' } as const;

const SPANS = {
  '1h': 'Last hour',
  '6h': 'Last 6 hours',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '30d': 'Last 30 days',
  '90d': 'Last 90 days',
} as const;

/** A period begins on the minute, so that a question is the same one for a while. */
const before = (seconds: number): string => new Date((Math.floor(Date.now() / 60_000) - seconds / 60) * 60_000).toISOString();

const quiet = (text: string) => <span style={{ color: 'var(--sg-quiet)' }}>{text}</span>;

const KEYS: Readonly<Record<'gateway' | 'bucket' | 'policy' | 'outcome', Column<Row>>> = {
  gateway: {
    id: 'gateway',
    head: 'Gateway',
    value: (row) => row.gateway,
    cell: (row) =>
      row.gateway === null || row.gateway === undefined ? '' : (
        <Link to="/gateways/$name" params={{ name: row.gateway }}>
          {row.gateway}
        </Link>
      ),
  },
  bucket: { id: 'bucket', head: 'Bucket', value: (row) => row.bucket, cell: (row) => row.bucket, clip: true },
  policy: {
    id: 'policy',
    head: 'Policy',
    value: (row) => row.policy,
    cell: (row) =>
      row.policy === '' ? quiet('no policy') : row.policy === null || row.policy === undefined ? '' : (
        <Link to="/policies/$name" params={{ name: row.policy }}>
          {row.policy}
        </Link>
      ),
  },
  outcome: {
    id: 'outcome',
    line: true,
    head: 'Outcome',
    value: (row) => row.outcome,
    cell: (row) => <span title={OUTCOMES[row.outcome ?? '']}>{row.outcome}</span>,
  },
};

const NUMBERS: readonly Column<Row>[] = [
  { id: 'objects', head: 'Objects in', hint: 'From clients towards the storage', align: 'right', value: (row) => row.objects, cell: (row) => count(row.objects) },
  { id: 'bytes', head: 'Data in', hint: 'Plaintext bytes, from clients towards the storage', align: 'right', value: (row) => row.bytes, cell: (row) => <span title={`${count(row.bytes)} bytes`}>{bytes(row.bytes)}</span> },
  { id: 'objects_read', head: 'Objects out', hint: 'From the storage towards clients', align: 'right', value: (row) => row.objects_read, cell: (row) => count(row.objects_read) },
  { id: 'bytes_read', head: 'Data out', hint: 'Plaintext bytes, from the storage towards clients', align: 'right', value: (row) => row.bytes_read, cell: (row) => <span title={`${count(row.bytes_read)} bytes`}>{bytes(row.bytes_read)}</span> },
];

/** What was counted, row by row: the same as `sealgate stats` prints, and what every sum elsewhere is made of. */
export function Figures() {
  const search = figuresRoute.useSearch();
  const navigate = figuresRoute.useNavigate();
  const by = search.by ?? 'outcome';
  const filtered = search.gateways !== undefined || search.outcome !== undefined || search.policy !== undefined || search.bucket !== undefined;
  const since = useMemo(() => (search.since ? before(SINCE[search.since]) : undefined), [search.since]);
  const asked = useQuery({
    ...figuresQuery({
      by: by === 'key' ? undefined : by,
      since,
      gateway: listed(search.gateways),
      outcome: listed(search.outcome),
      policy: listed(search.policy),
      bucket: listed(search.bucket),
    }),
    refetchInterval: useAskEvery(),
    placeholderData: keepPreviousData,
  });

  const columns = by === 'key' ? [KEYS.gateway, KEYS.bucket, KEYS.policy, KEYS.outcome, ...NUMBERS]
    : by === 'policy-outcome' ? [KEYS.policy, KEYS.outcome, ...NUMBERS]
    : [KEYS[by], ...NUMBERS];
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  return (
    <Page title="Figures" lead="What all gateways counted, each request once. Sums on other pages are made of these rows.">
      {asked.data?.truncated === true && <Note tone="warn">There are more than 10,000 rows; these are the first of them. Narrow them down, or sum them.</Note>}
      <div className="sg-panel">
        <DataTable
          what="figures"
          columns={columns}
          rows={asked.data?.rows}
          rowKey={(row) => [row.gateway, row.bucket, row.policy, row.outcome].join('\u0000')}
          asked={asked}
          sort={search.sort}
          onSort={(sort) => set({ sort })}
          tools={
            <>
              <Select
                label="Summed by"
                w={190}
                allowDeselect={false}
                value={by}
                data={BY.map((value) => ({ value, label: NAMES[value] }))}
                onChange={(value) => set({ by: BY.find((one) => one === value), sort: undefined })}
              />
              <Select
                label="Counted"
                w={170}
                allowDeselect={false}
                value={search.since ?? 'ever'}
                data={[{ value: 'ever', label: 'Ever' }, ...Object.entries(SPANS).map(([value, label]) => ({ value, label }))]}
                onChange={(value) => {
                  const chosen = (Object.keys(SINCE) as (keyof typeof SINCE)[]).find((one) => one === value);
                  set({ since: chosen });
                }}
              />
              <Typed label="Outcome" width={170} placeholder="any" value={search.outcome} onChange={(outcome) => set({ outcome })} />
              <Typed label="Bucket" width={150} placeholder="any" value={search.bucket} onChange={(bucket) => set({ bucket })} />
              <Typed label="Policy" width={170} placeholder="any" value={search.policy} onChange={(policy) => set({ policy })} />
              <Typed label="Gateways" width={170} placeholder="any" value={search.gateways} onChange={(gateways) => set({ gateways })} />
              {filtered && (
                <Button variant="default" onClick={() => set({ gateways: undefined, outcome: undefined, policy: undefined, bucket: undefined })}>
                  Reset
                </Button>
              )}
            </>
          }
          empty={
            <Empty title={filtered ? 'No row is like that' : 'Nothing was counted yet'}>
              {filtered ? 'Reset the filter to see all rows.' : 'As soon as a client stores or reads an object through a gateway, it is counted here.'}
            </Empty>
          }
        />
      </div>
    </Page>
  );
}
