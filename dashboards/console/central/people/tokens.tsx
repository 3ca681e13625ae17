import { Button, Group, Modal, NumberInput, Select, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { read } from '@frame/api';
import { AskFirst } from '@frame/parts/Confirm';
import { CopyText } from '@frame/parts/Copy';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note, Refused } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Time, useNow } from '@frame/parts/Time';
import { atFields } from '@frame/problem';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { api, type Schemas } from '../api';
import { ROLES, type Role } from './roles';
import { tokensRoute } from './route';

type Token = Schemas['ApiToken'];

const DAY_S = 86_400;
const SOON_MS = 7 * DAY_S * 1_000;

/** Keys for scripts. */
export function ApiTokens() {
  const search = tokensRoute.useSearch();
  const navigate = tokensRoute.useNavigate();
  const list = useQuery({ queryKey: ['tokens'], queryFn: ({ signal }) => read(api.GET('/api/v1/tokens', { signal })) });
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const make = <Button onClick={() => setMaking(true)}>Make a token</Button>;
  const columns: readonly Column<Token>[] = [
    { id: 'name', head: 'Name', value: (row) => row.name, cell: (row) => row.name },
    { id: 'role', head: 'Role', value: (row) => row.role, cell: (row) => <span title={ROLES[row.role]}>{row.role}</span> },
    { id: 'expires', head: 'Holds until', value: (row) => row.expires_at, cell: (row) => <Life token={row} /> },
    { id: 'used', head: 'Last used', value: (row) => row.last_used_at, cell: (row) => <Time at={row.last_used_at} /> },
    { id: 'by', head: 'Made by', value: (row) => row.created_by, cell: (row) => row.created_by },
    { id: 'created', head: 'Made', value: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
    {
      id: 'actions',
      head: 'Change',
      cell: (row) => (
        <Button size="compact-xs" variant="default" onClick={() => setRevoking(row)}>
          Revoke<span className="sg-hidden"> {row.name}</span>
        </Button>
      ),
    },
  ];
  return (
    <Page title="API tokens" lead="For scripts and the command line. Each has a role of its own, and shows its text once." actions={make}>
      {list.data?.truncated === true && <Note tone="warn">There are more than 10,000 tokens; these are the first of them by name.</Note>}
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
              A script that speaks to Central’s interface sends one as bearer token.
            </Empty>
          }
        />
      </div>
      {making && <Make onClose={() => setMaking(false)} />}
      {revoking && <Revoke token={revoking} onClose={() => setRevoking(null)} />}
    </Page>
  );
}

function Life({ token }: { readonly token: Token }) {
  const now = useNow();
  if (token.expires_at === null || token.expires_at === undefined) return <State tone="warn">for ever</State>;
  const left = Date.parse(token.expires_at) - now;
  return (
    <State tone={left <= 0 ? 'idle' : left < SOON_MS ? 'warn' : 'good'}>
      {left <= 0 ? 'expired ' : ''}
      <Time at={token.expires_at} />
    </State>
  );
}

function Make({ onClose }: { readonly onClose: () => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initialValues: { name: '', role: 'viewer' as Role, days: 90 as number | string },
    validate: {
      name: (value) => (value.trim() === '' ? 'It needs a name' : null),
      days: (value) => (Number(value) >= 1 && Number(value) <= 366 ? null : '1 to 366'),
    },
  });
  const making = useMutation({
    mutationFn: ({ name, role, days }: typeof form.values) =>
      read(api.POST('/api/v1/tokens', { body: { name: name.trim(), role, ttl_seconds: Math.round(Number(days) * DAY_S) } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['tokens'] }),
    onError: (error) => {
      const { ttl_seconds: days, ...others } = atFields(error, ['name', 'ttl_seconds', 'role']);
      form.setErrors({ ...others, ...(days === undefined ? {} : { days }) });
    },
  });
  const made = making.data?.token;
  return (
    <Modal opened onClose={onClose} title={made ? `Token ${making.data?.name ?? ''}` : 'New API token'} closeOnClickOutside={!made} closeButtonProps={{ 'aria-label': 'Close' }}>
      {made ? (
        <Stack gap="sm">
          <Note tone="warn">This is shown once. Keep it where you keep secrets: who has it may do what its role may.</Note>
          <CopyText value={made} what="the token" />
          <Group justify="flex-end">
            <Button onClick={onClose}>I have kept it</Button>
          </Group>
        </Stack>
      ) : (
        <form onSubmit={form.onSubmit((values) => making.mutate(values))} noValidate>
          <Stack gap="sm">
            <TextInput label="Name" required description="What it is for" data-autofocus autoComplete="off" {...form.getInputProps('name')} />
            <Select label="Role" allowDeselect={false} description={ROLES[form.values.role]} data={Object.keys(ROLES)} {...form.getInputProps('role')} />
            <NumberInput label="Holds for days" min={1} max={366} {...form.getInputProps('days')} />
            {making.isError && <Refused error={making.error} fields={['name', 'ttl_seconds', 'role']} />}
            <Group justify="flex-end" gap="xs">
              <Button variant="default" onClick={onClose}>
                Cancel
              </Button>
              <Button type="submit" loading={making.isPending}>
                Make the token
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}

function Revoke({ token, onClose }: { readonly token: Token; readonly onClose: () => void }) {
  return (
    <AskFirst
      title={`Revoke ${token.name}?`}
      impact="Whatever sends this token is refused from now on. It cannot be brought back."
      word={token.name}
      verb="Revoke"
      danger
      act={() => read(api.DELETE('/api/v1/tokens/{name}', { params: { path: { name: token.name } } }))}
      done={`${token.name} is revoked`}
      stale={['tokens']}
      onClose={onClose}
    />
  );
}
