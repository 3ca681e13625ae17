import { Button, Group, Switch, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { useAskEvery } from '@frame/live';
import { Confirm } from '@frame/parts/Confirm';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { tell } from '@frame/tell';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { api } from '../api';
import { nameColumn, stateColumns } from './columns';
import { CreateBucket } from './create';
import { type Bucket, bucketsQuery } from './data';
import { RemoveBucket } from './remove';
import { bucketsRoute } from './route';
import { BucketSettings } from './settings';

/** The buckets: their switch, whether new objects are encrypted, and why. */
export function Buckets() {
  const search = bucketsRoute.useSearch();
  const navigate = bucketsRoute.useNavigate();
  const list = useQuery({ ...bucketsQuery(), refetchInterval: useAskEvery() });
  const [turning, setTurning] = useState<Bucket | null>(null);
  const [setting, setSetting] = useState<Bucket | null>(null);
  const [removing, setRemoving] = useState<Bucket | null>(null);
  const [making, setMaking] = useState(false);
  const make = <Button onClick={() => setMaking(true)}>New bucket</Button>;
  const rows = useMemo(() => list.data?.buckets.filter((bucket) => bucket.bucket.toLowerCase().includes(search.q?.toLowerCase() ?? '')), [list.data, search.q]);
  const columns: readonly Column<Bucket>[] = [
    nameColumn,
    {
      id: 'switch',
      head: 'Encryption',
      value: (row) => (row.encrypt ? 'on' : 'off'),
      cell: (row) => <Switch size="sm" checked={row.encrypt} aria-label={`Encryption of ${row.bucket}`} onChange={() => setTurning(row)} />,
    },
    ...stateColumns,
    {
      id: 'actions',
      head: 'Change',
      cell: (row) => (
        <Group gap={4} wrap="nowrap">
          <Button size="compact-xs" variant="default" onClick={() => setSetting(row)}>
            Settings<span className="sg-hidden"> of {row.bucket}</span>
          </Button>
          <Button size="compact-xs" variant="default" c="var(--sg-bad)" onClick={() => setRemoving(row)}>
            Remove<span className="sg-hidden"> {row.bucket}</span>
          </Button>
        </Group>
      ),
    },
  ];
  return (
    <Page title="Buckets" lead="Where switch, policy and client disagree, encryption wins." actions={make}>
      <div className="sg-panel">
        <DataTable
          what="buckets"
          columns={columns}
          rows={rows}
          rowKey={(row) => row.bucket}
          asked={list}
          sort={search.sort}
          onSort={(sort) => void navigate({ search: { ...search, sort }, replace: true })}
          tools={<TextInput label="Bucket" w={220} value={search.q ?? ''} onChange={(event) => void navigate({ search: { ...search, q: event.currentTarget.value || undefined }, replace: true })} />}
          empty={
            search.q === undefined ? (
              <Empty title="There is no bucket" action={make}>
                Objects lie in buckets: make the first one, here or with any S3 client.
              </Empty>
            ) : (
              <Empty title="No bucket is called that">Take the filter out to see all buckets.</Empty>
            )
          }
        />
      </div>
      {turning && <Turn bucket={turning} onClose={() => setTurning(null)} />}
      {making && <CreateBucket onClose={() => setMaking(false)} />}
      {removing && <RemoveBucket bucket={removing} onClose={() => setRemoving(null)} />}
      {setting && <BucketSettings bucket={setting} onClose={() => setSetting(null)} />}
    </Page>
  );
}

function Turn({ bucket, onClose }: { readonly bucket: Bucket; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const turning = useMutation({
    mutationFn: () => read(api.PUT('/api/v1/buckets/{name}/encryption', { params: { path: { name: bucket.bucket } }, body: { encrypt: !bucket.encrypt } })),
    onSuccess: async (now) => {
      tell.done(`Encryption of ${now.bucket} is ${now.encrypt ? 'on' : 'off'}`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  return (
    <Confirm
      title={`Switch encryption of ${bucket.bucket} ${bucket.encrypt ? 'off' : 'on'}?`}
      impact={
        bucket.encrypt
          ? 'New objects are stored as they are, unless a policy, the client or the floor asks for encryption. What is encrypted stays so, and is read as before.'
          : 'Every new object is encrypted, at each gateway of the group. What is stored already stays as it is. Clients notice nothing.'
      }
      word={bucket.encrypt ? bucket.bucket : undefined}
      verb={bucket.encrypt ? 'Switch off' : 'Switch on'}
      danger={bucket.encrypt}
      busy={turning.isPending}
      error={turning.error}
      onConfirm={() => turning.mutate()}
      onClose={onClose}
    />
  );
}
