import { Button, Group, Modal, Stack, Switch, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { useAskEvery } from '@frame/live';
import { AskFirst } from '@frame/parts/Confirm';
import { CopyText } from '@frame/parts/Copy';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Failure, Note } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { Time } from '@frame/parts/Time';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api, type Schemas } from '../api';
import { tokensRoute } from './route';

type Token = Schemas['Token'];

/** What opens this console and the interface behind it. */
export function Tokens() {
  const search = tokensRoute.useSearch();
  const navigate = tokensRoute.useNavigate();
  const list = useQuery({
    queryKey: ['group', 'tokens'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/tokens', { signal })),
    refetchInterval: useAskEvery(),
  });
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const make = <Button onClick={() => setMaking(true)}>New API token</Button>;
  const columns: readonly Column<Token>[] = [
    { id: 'name', head: 'Name', value: (row) => row.name, cell: (row) => row.name },
    { id: 'id', head: 'ID', value: (row) => row.id, cell: (row) => <code>{row.id}</code> },
    { id: 'copies', head: 'Copies of keys', hint: 'Whether it may have copies of KMS keys that were made in place', value: (row) => row.may_copy_keys, cell: (row) => (row.may_copy_keys ? 'may have them' : 'no') },
    { id: 'created', head: 'Made', value: (row) => row.created, cell: (row) => <Time at={row.created} /> },
    {
      id: 'actions',
      head: 'Change',
      cell: (row) => (
        <Button size="compact-xs" variant="default" c="var(--sg-bad)" onClick={() => setRevoking(row)}>
          Revoke<span className="sg-hidden"> {row.name}</span>
        </Button>
      ),
    },
  ];
  return (
    <Page title="API tokens" lead="Whoever has one may log in here and do everything but one, at each gateway of the group: copies of KMS keys are for tokens that may have them. Give each person and each script its own." actions={make}>
      <div className="sg-panel">
        <DataTable
          what="API tokens"
          columns={columns}
          rows={list.data?.tokens}
          rowKey={(row) => row.id}
          asked={list}
          sort={search.sort}
          onSort={(sort) => void navigate({ search: { sort }, replace: true })}
          empty={
            <Empty title="There is no token" action={make}>
              Log-ins and scripts need one.
            </Empty>
          }
        />
      </div>
      {making && <Make onClose={() => setMaking(false)} />}
      {revoking && <Revoke token={revoking} last={list.data?.tokens.filter((one) => one.may_copy_keys).length === 1 && revoking.may_copy_keys} onClose={() => setRevoking(null)} />}
    </Page>
  );
}

function Make({ onClose }: { readonly onClose: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const [copies, setCopies] = useState(false);
  const making = useMutation({
    mutationFn: () => read(api.POST('/api/v1/tokens', { body: { name: name.trim(), may_copy_keys: copies } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['group', 'tokens'] }),
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (name.trim() !== '') making.mutate();
  };
  if (making.data) return <Made of={making.data} onClose={onClose} />;
  return (
    <Modal opened onClose={onClose} title="New API token" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <TextInput label="Name" description="Whose it is, or what for" required data-autofocus autoComplete="off" value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <Switch
            label="May have copies of keys"
            description="KMS keys that were made in place, encrypted under a passphrase. Only a token that may can let another."
            checked={copies}
            onChange={(event) => setCopies(event.currentTarget.checked)}
          />
          {making.isError && <Failure error={making.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" disabled={name.trim() === ''} loading={making.isPending}>
              Make the token
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

/** A dialog of its own, so that the keyboard goes into it. */
function Made({ of, onClose }: { readonly of: Schemas['MadeToken']; readonly onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title={`Token ${of.name}`} closeOnClickOutside={false} closeOnEscape={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack gap="sm">
        <Note tone="warn" title="The token is shown once">
          Keep it where you keep secrets: who has it may do everything here.
        </Note>
        <CopyText value={of.token} what="the token" />
        <Group justify="flex-end">
          <Button onClick={onClose}>I have kept it</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function Revoke({ token, last, onClose }: { readonly token: Token; readonly last: boolean; readonly onClose: () => void }) {
  return (
    <AskFirst
      title={`Revoke ${token.name}?`}
      impact={`Whatever sends this token is refused, and sessions that were begun with it end, this one too if it is yours. It cannot be brought back.${last ? ' It is the last one that may have copies of KMS keys: after that, nobody can download a copy of a key that is here, only of new ones as they are made.' : ''}`}
      word={token.name}
      verb="Revoke"
      danger
      act={() => read(api.DELETE('/api/v1/tokens/{id}', { params: { path: { id: token.id } } }))}
      done={`${token.name} is revoked`}
      stale={['group', 'tokens']}
      onClose={onClose}
    />
  );
}
