import { Button, Select, Stack, TextInput } from '@mantine/core';
import { bytes, count, share } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Age } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import { type BucketCoverage, coverageQuery } from './data';
import { coverageRoute, SHOWN } from './route';

const SHOWN_NAMES = { uncovered: 'With plain objects', unknown: 'Not counted whole', covered: 'Encrypting all new' } as const;

const COLUMNS: readonly Column<BucketCoverage>[] = [
  { id: 'bucket', head: 'Bucket', clip: true, value: (row) => row.bucket, cell: (row) => row.bucket },
  {
    id: 'encrypting',
    head: 'New objects',
    value: (row) => (row.encrypting ? 'all encrypted' : 'not all encrypted'),
    cell: (row) => <State tone={row.encrypting ? 'good' : 'warn'}>{row.encrypting ? 'all encrypted' : 'not all encrypted'}</State>,
  },
  { id: 'because', head: 'Because of', value: (row) => row.because, cell: (row) => row.because || 'nothing asks for it' },
  {
    id: 'share',
    head: 'Encrypted share',
    hint: 'Of the objects that are known',
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

/** How much of what is stored is encrypted, and what is not, as a list that can be taken away. */
export function Coverage() {
  const search = coverageRoute.useSearch();
  const navigate = coverageRoute.useNavigate();
  const asked = useQuery({ ...coverageQuery(), refetchInterval: useAskEvery() });
  const rows = useMemo(() => {
    const q = search.q?.toLowerCase() ?? '';
    return asked.data?.coverage
      .filter((row) => row.bucket.toLowerCase().includes(q))
      .filter((row) => search.gateway === undefined || row.gateway === search.gateway)
      .filter(
        (row) =>
          search.show === undefined ||
          (search.show === 'covered' && row.encrypting) ||
          (search.show === 'uncovered' && row.objects_plain > 0) ||
          (search.show === 'unknown' && (row.objects_unknown === null || row.objects_unknown === undefined || row.objects_unknown > 0)),
      );
  }, [asked.data, search]);
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const filtered = search.q !== undefined || search.show !== undefined || search.gateway !== undefined;
  return (
    <Page title="Coverage" lead="What the storages hold, bucket by bucket, as their gateways last saw them. Gateways over one storage are never added up.">
      <Stack gap="sm">
        {asked.data?.truncated === true && <Note tone="warn">There are more than 10,000 buckets; these are the first of them.</Note>}
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
                <TextInput label="Bucket" w={220} value={search.q ?? ''} onChange={(event) => set({ q: event.currentTarget.value || undefined })} />
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
