import { Button, Select, Stack } from '@mantine/core';
import { bytes, count, share } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Age } from '@frame/parts/Time';
import { Typed } from '@frame/parts/Typed';
import { Way } from '@frame/parts/Way';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import { listed } from '../gateways/data';
import { type BucketCoverage, coverageQuery } from './data';
import { coverageRoute, SHOWN } from './route';

const SHOWN_NAMES = {
  uncovered: 'With plain objects',
  unknown: 'Never looked through',
  covered: 'Encrypting all new',
  open: 'Not encrypting all new',
} as const;

/** Whether a bucket is among those that are shown; the overview counts them by the same words. */
function isShown(show: keyof typeof SHOWN_NAMES | undefined, row: BucketCoverage): boolean {
  switch (show) {
    case undefined:
      return true;
    case 'covered':
      return row.encrypting;
    case 'open':
      return !row.encrypting;
    case 'uncovered':
      return row.objects_plain > 0;
    case 'unknown':
      return row.objects_unknown === null || row.objects_unknown === undefined;
  }
}

const COLUMNS: readonly Column<BucketCoverage>[] = [
  { id: 'bucket', head: 'Bucket', clip: true, value: (row) => row.bucket, cell: (row) => row.bucket },
  {
    id: 'encrypting',
    head: 'Encrypts new',
    hint: 'Whether every new object is encrypted',
    value: (row) => (row.encrypting ? 'all' : 'not all'),
    cell: (row) => <State tone={row.encrypting ? 'good' : 'warn'}>{row.encrypting ? 'all' : 'not all'}</State>,
  },
  { id: 'because', head: 'Because of', value: (row) => row.because, cell: (row) => <Because of={row.because} /> },
  { id: 'kms', head: 'KMS ID', hint: 'By which new objects are encrypted', value: (row) => row.kms_id, cell: (row) => row.kms_id ?? 'none active' },
  {
    id: 'share',
    head: 'Share',
    hint: 'Encrypted objects of all that are known',
    align: 'right',
    value: (row) => (row.objects_encrypted + row.objects_plain > 0 ? row.objects_encrypted / (row.objects_encrypted + row.objects_plain) : null),
    cell: (row) => share(row.objects_encrypted, row.objects_encrypted + row.objects_plain),
  },
  { id: 'objects_encrypted', head: 'Encrypted', hint: 'Objects', align: 'right', value: (row) => row.objects_encrypted, cell: (row) => count(row.objects_encrypted) },
  {
    id: 'objects_plain',
    head: 'Plain',
    hint: 'Objects',
    align: 'right',
    value: (row) => row.objects_plain,
    cell: (row) => (row.objects_plain > 0 ? <State tone="warn">{count(row.objects_plain)}</State> : 0),
  },
  {
    id: 'objects_unknown',
    head: 'Unknown',
    hint: 'Objects of which it could not be told, or how many there are besides is not known',
    align: 'right',
    value: (row) => row.objects_unknown,
    cell: (row) => (row.objects_unknown === null || row.objects_unknown === undefined ? 'not counted' : count(row.objects_unknown)),
  },
  { id: 'bytes_encrypted', head: 'Encrypted data', align: 'right', value: (row) => row.bytes_encrypted, cell: (row) => bytes(row.bytes_encrypted) },
  { id: 'bytes_plain', head: 'Plain data', align: 'right', value: (row) => row.bytes_plain, cell: (row) => bytes(row.bytes_plain) },
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
  {
    id: 'looked',
    head: 'Looked through',
    hint: 'When all of the bucket was last looked through',
    align: 'right',
    value: (row) => row.looked_age_s,
    cell: (row) => (row.looked_age_s === null || row.looked_age_s === undefined ? 'never' : <><Age seconds={row.looked_age_s} /> ago</>),
  },
];

const POLICY = 'policy ';

/** What asks for encryption: a policy is a way to it. */
function Because({ of }: { readonly of: string }) {
  if (of === '') return <span style={{ color: 'var(--sg-quiet)' }}>nothing</span>;
  if (!of.startsWith(POLICY)) return <>{of}</>;
  const name = of.slice(POLICY.length);
  return (
    <span style={{ whiteSpace: 'nowrap' }}>
      <Way needs="read-policies" to="/policies/$name" params={{ name }}>
        {name}
      </Way>
    </span>
  );
}

/** How much of what is stored is encrypted, and what is not, as a list that can be taken away. */
export function Coverage() {
  const search = coverageRoute.useSearch();
  const navigate = coverageRoute.useNavigate();
  const asked = useQuery({
    ...coverageQuery(listed(search.gateways), search.q?.toLowerCase()),
    refetchInterval: useAskEvery(),
    placeholderData: keepPreviousData,
  });
  const rows = useMemo(() => asked.data?.coverage.filter((row) => isShown(search.show, row)), [asked.data, search.show]);
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const filtered = search.q !== undefined || search.show !== undefined || search.gateways !== undefined;
  return (
    <Page title="Coverage" lead="What the storages hold, bucket by bucket, as their gateways last saw them. Gateways over one storage are never added up.">
      <Stack gap="sm">
        {asked.data?.truncated === true && <Note tone="warn">There are more than 10,000 buckets; these are the first of them. Narrow them down by name or gateway.</Note>}
        <div className="sg-panel">
          <DataTable
            what="buckets"
            columns={COLUMNS}
            rows={rows}
            rowKey={(row) => `${row.storage_id} ${row.bucket}`}
            error={asked.error}
            again={() => void asked.refetch()}
            sort={search.sort}
            onSort={(sort) => set({ sort })}
            tools={
              <>
                <Typed label="Bucket" placeholder="part of its name" value={search.q} onChange={(q) => set({ q })} />
                <Typed label="Behind gateways" placeholder="any" value={search.gateways} onChange={(gateways) => set({ gateways })} />
                <Select
                  label="Show"
                  w={200}
                  clearable
                  clearButtonProps={{ 'aria-label': 'All buckets' }}
                  placeholder="all"
                  value={search.show ?? null}
                  data={SHOWN.map((value) => ({ value, label: SHOWN_NAMES[value] }))}
                  onChange={(value) => set({ show: SHOWN.find((one) => one === value) })}
                />
                {filtered && (
                  <Button variant="default" onClick={() => void navigate({ search: { sort: search.sort }, replace: true })}>
                    Reset
                  </Button>
                )}
              </>
            }
            empty={
              filtered ? (
                <Empty title="No bucket is like that">
                  {search.show === 'uncovered' ? 'Every object that is known is encrypted.' : 'Reset the filter to see all buckets.'}
                </Empty>
              ) : (
                <Empty title="No bucket is known yet">Gateways look through their storage soon after they start, and tell Central what they found.</Empty>
              )
            }
          />
        </div>
      </Stack>
    </Page>
  );
}
