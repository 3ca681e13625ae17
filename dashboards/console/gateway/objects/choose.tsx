import { Button, TextInput } from '@mantine/core';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { nameColumn, stateColumns } from '../buckets/columns';
import { CreateBucket } from '../buckets/create';
import { type Bucket, bucketsQuery } from '../buckets/data';
import { objectsRoute } from './route';

const COLUMNS: readonly Column<Bucket>[] = [nameColumn, ...stateColumns];

/** The buckets, as the way to what lies in them. */
export function ChooseBucket() {
  const search = objectsRoute.useSearch();
  const navigate = objectsRoute.useNavigate();
  const list = useQuery({ ...bucketsQuery(), refetchInterval: useAskEvery() });
  const [making, setMaking] = useState(false);
  const rows = useMemo(() => list.data?.buckets.filter((one) => one.bucket.toLowerCase().includes(search.q?.toLowerCase() ?? '')), [list.data, search.q]);
  return (
    <div className="sg-panel">
      <DataTable
        what="buckets"
        columns={COLUMNS}
        rows={rows}
        rowKey={(row) => row.bucket}
        asked={list}
        sort={search.sort}
        onSort={(sort) => void navigate({ search: { ...search, sort }, replace: true })}
        tools={<TextInput label="Bucket" w={220} value={search.q ?? ''} onChange={(event) => void navigate({ search: { ...search, q: event.currentTarget.value || undefined }, replace: true })} />}
        empty={
          search.q === undefined ? (
            <Empty title="There is no bucket" action={<Button onClick={() => setMaking(true)}>New bucket</Button>}>
              Objects lie in buckets: make the first one, here or with any S3 client.
            </Empty>
          ) : (
            <Empty title="No bucket is called that">Take the filter out to see all buckets.</Empty>
          )
        }
      />
      {making && <CreateBucket onClose={() => setMaking(false)} />}
    </div>
  );
}
