import { Button, Switch, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Confirm } from '@frame/parts/Confirm';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { tell } from '@frame/tell';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';

import { api } from '../api';
import { type Bucket, bucketsQuery } from './data';
import { bucketsRoute } from './route';
import { BucketSettings } from './settings';
import { Because, Effective } from './why';

const known = (value: number | null | undefined): string => (value === null || value === undefined ? 'not known' : count(value));

/** The buckets: their switch, whether new objects are encrypted, and why. */
export function Buckets() {
  const search = bucketsRoute.useSearch();
  const navigate = bucketsRoute.useNavigate();
  const list = useQuery({ ...bucketsQuery(), refetchInterval: useAskEvery() });
  const [turning, setTurning] = useState<Bucket | null>(null);
  const [setting, setSetting] = useState<Bucket | null>(null);
  const rows = useMemo(() => list.data?.buckets.filter((bucket) => bucket.bucket.toLowerCase().includes(search.q?.toLowerCase() ?? '')), [list.data, search.q]);
  const columns: readonly Column<Bucket>[] = [
    {
      id: 'bucket',
      head: 'Bucket',
      value: (row) => row.bucket,
      cell: (row) => (
        <Link to="/objects" search={{ bucket: row.bucket }}>
          {row.bucket}
        </Link>
      ),
    },
    {
      id: 'switch',
      head: 'Encryption',
      value: (row) => (row.encrypt ? 'on' : 'off'),
      cell: (row) => <Switch size="sm" checked={row.encrypt} aria-label={`Encryption of ${row.bucket}`} onChange={() => setTurning(row)} />,
    },
    {
      id: 'effective',
      head: 'New objects',
      value: (row) => (row.effective ? 'encrypted' : 'stored as they are'),
      cell: (row) => <Effective of={row} />,
    },
    { id: 'because', head: 'Because of', value: (row) => row.because, cell: (row) => <Because of={row} /> },
    { id: 'encrypted', head: 'Encrypted', hint: 'Objects known to be stored encrypted', align: 'right', value: (row) => row.objects_encrypted, cell: (row) => known(row.objects_encrypted) },
    { id: 'plain', head: 'Plain', hint: 'Objects known to be stored as they are', align: 'right', value: (row) => row.objects_plain, cell: (row) => known(row.objects_plain) },
    {
      id: 'actions',
      head: 'Change',
      cell: (row) => (
        <Button size="compact-xs" variant="default" onClick={() => setSetting(row)}>
          Settings<span className="sg-hidden"> of {row.bucket}</span>
        </Button>
      ),
    },
  ];
  return (
    <Page title="Buckets" lead="Where switch, policy and client disagree, encryption wins.">
      <div className="sg-panel">
        <DataTable
          what="buckets"
          columns={columns}
          rows={rows}
          rowKey={(row) => row.bucket}
          error={list.error}
          again={() => void list.refetch()}
          sort={search.sort}
          onSort={(sort) => void navigate({ search: { ...search, sort }, replace: true })}
          tools={<TextInput label="Bucket" w={220} value={search.q ?? ''} onChange={(event) => void navigate({ search: { ...search, q: event.currentTarget.value || undefined }, replace: true })} />}
          empty={
            <Empty title={search.q === undefined ? 'There is no bucket' : 'No bucket is called that'}>
              {search.q === undefined ? 'An S3 client makes one: aws s3 mb s3://NAME --endpoint-url this gateway’s S3 address.' : 'Take the filter out to see all buckets.'}
            </Empty>
          }
        />
      </div>
      {turning && <Turn bucket={turning} onClose={() => setTurning(null)} />}
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
