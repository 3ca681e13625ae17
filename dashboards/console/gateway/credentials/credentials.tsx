import { Button, Group, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { useAskEvery } from '@frame/live';
import { AskFirst } from '@frame/parts/Confirm';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { Tag } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { api } from '../api';
import { type Credential, credentialsQuery, told } from './data';
import { CredentialForm } from './form';
import { credentialsRoute } from './route';

type Open = { readonly is: 'add' } | { readonly is: 'change' | 'remove'; readonly credential: Credential };

const IDENTITIES: Column<Credential> = {
  id: 'identities',
  head: 'At storages',
  hint: 'By which key its requests are made there; elsewhere by the gateway’s own',
  value: (row) => Object.entries(row.identities).map(([backend, key]) => `${backend}: ${key}`).join('; '),
  cell: (row) => {
    const all = Object.entries(row.identities);
    return all.length === 0 ? 'as the gateway' : all.map(([backend, key]) => <div key={backend}>{backend}: <code>{key}</code></div>);
  },
};

/** What S3 clients sign their requests with. */
export function Credentials() {
  const search = credentialsRoute.useSearch();
  const navigate = credentialsRoute.useNavigate();
  const list = useQuery({ ...credentialsQuery(), refetchInterval: useAskEvery() });
  const [open, setOpen] = useState<Open | null>(null);
  const shut = () => setOpen(null);
  const wanted = search.q?.toLowerCase() ?? '';
  const rows = useMemo(
    () => list.data?.credentials.filter((one) => `${one.name} ${one.access_key} ${one.grants.map(told).join(' ')}`.toLowerCase().includes(wanted)),
    [list.data, wanted],
  );
  const add = <Button onClick={() => setOpen({ is: 'add' })}>New credential</Button>;
  const columns: readonly Column<Credential>[] = [
    {
      id: 'name',
      head: 'Name',
      value: (row) => row.name,
      cell: (row) => (
        <>
          {row.name} {row.admin && <Tag tone="accent">administrator</Tag>}
        </>
      ),
    },
    { id: 'access_key', head: 'Access key', value: (row) => row.access_key, cell: (row) => <code>{row.access_key}</code> },
    {
      id: 'grants',
      head: 'May do',
      value: (row) => row.grants.map(told).join('; '),
      cell: (row) => (row.grants.length === 0 ? 'nothing' : row.grants.map((grant) => <div key={told(grant)}>{told(grant)}</div>)),
    },
    ...(list.data?.credentials.some((one) => Object.keys(one.identities).length > 0) ? [IDENTITIES] : []),
    { id: 'created', head: 'Made', value: (row) => row.created, cell: (row) => <Time at={row.created} /> },
    {
      id: 'actions',
      head: 'Change',
      cell: (row) => (
        <Group gap={4} wrap="nowrap">
          <Button size="compact-xs" variant="default" onClick={() => setOpen({ is: 'change', credential: row })}>
            Edit<span className="sg-hidden"> {row.name}</span>
          </Button>
          <Button size="compact-xs" variant="default" c="var(--sg-bad)" onClick={() => setOpen({ is: 'remove', credential: row })}>
            Remove<span className="sg-hidden"> {row.name}</span>
          </Button>
        </Group>
      ),
    },
  ];
  return (
    <Page title="Credentials" lead="What S3 clients sign their requests with. Each may do what its grants say, at every gateway of the group." actions={add}>
      <div className="sg-panel">
        <DataTable
          what="credentials"
          columns={columns}
          rows={rows}
          rowKey={(row) => row.access_key}
          asked={list}
          sort={search.sort}
          onSort={(sort) => void navigate({ search: { ...search, sort }, replace: true })}
          tools={<TextInput label="Name, key or bucket" w={240} value={search.q ?? ''} onChange={(event) => void navigate({ search: { ...search, q: event.currentTarget.value || undefined }, replace: true })} />}
          empty={
            search.q === undefined ? (
              <Empty title="There is no credential" action={add}>
                A client needs one to reach any bucket.
              </Empty>
            ) : (
              <Empty title="No credential is like that">Take the filter out to see all of them.</Empty>
            )
          }
        />
      </div>
      {open?.is === 'add' && <CredentialForm onClose={shut} />}
      {open?.is === 'change' && <CredentialForm of={open.credential} onClose={shut} />}
      {open?.is === 'remove' && <Remove of={open.credential} onClose={shut} />}
    </Page>
  );
}

function Remove({ of, onClose }: { readonly of: Credential; readonly onClose: () => void }) {
  return (
    <AskFirst
      title={`Remove ${of.name}?`}
      impact={
        <>
          Clients that sign with <code>{of.access_key}</code> are refused at every gateway of the group. What they stored stays. The secret cannot be brought back: they need another credential.
        </>
      }
      word={of.access_key}
      verb="Remove"
      danger
      act={() => read(api.DELETE('/api/v1/credentials/{access_key}', { params: { path: { access_key: of.access_key } } }))}
      done={`${of.name} is removed`}
      stale={['group']}
      onClose={onClose}
    />
  );
}
