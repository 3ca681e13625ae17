import { Button, Modal, PasswordInput, Select, Stack, Group, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { read } from '@frame/api';
import { Confirm } from '@frame/parts/Confirm';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note, Refused } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { atFields } from '@frame/problem';
import { session } from '@frame/session';
import { useStore } from '@frame/store';
import { tell } from '@frame/tell';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { api, type Schemas } from '../api';
import { SHORTEST } from './password';
import { ROLES } from './roles';
import { peopleRoute } from './route';

type Operator = Schemas['Operator'];

/** What a refusal can be about. */
const FIELDS = ['name', 'password', 'role'] as const;

const life = (row: Operator): string => (row.disabled ? 'disabled' : locked(row) ? 'locked' : 'active');
const locked = (row: Operator): boolean => row.locked_until !== null && row.locked_until !== undefined && Date.parse(row.locked_until) > Date.now();

/** Who may log in, and what for. */
export function Users() {
  const search = peopleRoute.useSearch();
  const navigate = peopleRoute.useNavigate();
  const now = useStore(session);
  const me = now.is === 'in' || now.is === 'over' ? now.who.name : '';
  const list = useQuery({ queryKey: ['operators'], queryFn: ({ signal }) => read(api.GET('/api/v1/operators', { signal })) });
  const [open, setOpen] = useState<'new' | { readonly edit: Operator } | { readonly toggle: Operator } | null>(null);
  const columns: readonly Column<Operator>[] = [
    { id: 'name', head: 'Account', value: (row) => row.name, cell: (row) => <>{row.name}{row.name === me && <span style={{ color: 'var(--sg-quiet)' }}> (you)</span>}</> },
    { id: 'role', head: 'Role', value: (row) => row.role, cell: (row) => <span title={ROLES[row.role]}>{row.role}</span> },
    {
      id: 'state',
      head: 'State',
      value: life,
      cell: (row) => (
        <State tone={row.disabled ? 'idle' : locked(row) ? 'warn' : 'good'}>
          {life(row)}
          {locked(row) && !row.disabled && <> until <Time at={row.locked_until} /></>}
        </State>
      ),
    },
    { id: 'created', head: 'Made', value: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
    {
      id: 'actions',
      head: 'Change',
      cell: (row) => (
        <Group gap={6} wrap="nowrap">
          <Button size="compact-xs" variant="default" onClick={() => setOpen({ edit: row })}>
            Role, password<span className="sg-hidden"> of {row.name}</span>
          </Button>
          <Button size="compact-xs" variant="default" onClick={() => setOpen({ toggle: row })}>
            {row.disabled ? 'Enable' : 'Disable'}<span className="sg-hidden"> {row.name}</span>
          </Button>
        </Group>
      ),
    },
  ];
  return (
    <Page title="Users" lead="Accounts of people. Scripts have API tokens." actions={<Button onClick={() => setOpen('new')}>Make an account</Button>}>
      {list.data?.truncated === true && <Note tone="warn">There are more than 10,000 accounts; these are the first of them by name.</Note>}
      <div className="sg-panel">
        <DataTable
          what="accounts"
          columns={columns}
          rows={list.data?.operators}
          rowKey={(row) => row.id}
          asked={list}
          sort={search.sort}
          onSort={(sort) => void navigate({ search: { sort }, replace: true })}
          empty={<Empty title="There is no account" />}
        />
      </div>
      {open === 'new' && <Account onClose={() => setOpen(null)} />}
      {open !== null && open !== 'new' && 'edit' in open && <Account of={open.edit} onClose={() => setOpen(null)} />}
      {open !== null && open !== 'new' && 'toggle' in open && <Toggle of={open.toggle} onClose={() => setOpen(null)} />}
    </Page>
  );
}

function Account({ of, onClose }: { readonly of?: Operator; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initialValues: { name: of?.name ?? '', role: (of?.role ?? 'viewer'), password: '' },
    validate: {
      name: (value) => (value.trim() === '' ? 'It needs a name' : null),
      password: (value) => ((of && value === '') || value.length >= SHORTEST ? null : `At least ${SHORTEST} characters`),
    },
  });
  const saving = useMutation({
    mutationFn: ({ name, role, password }: typeof form.values) =>
      of
        ? read(api.PATCH('/api/v1/operators/{name}', { params: { path: { name: of.name } }, body: { role, password: password === '' ? null : password } }))
        : read(api.POST('/api/v1/operators', { body: { name: name.trim(), role, password } })),
    onSuccess: async (account) => {
      tell.done(of ? `${account.name} is changed` : `${account.name} can log in`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['operators'] });
    },
    onError: (error) => form.setErrors(atFields(error, FIELDS)),
  });
  return (
    <Modal opened onClose={onClose} title={of ? `Change ${of.name}` : 'New account'} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
        <Stack gap="sm">
          {!of && <TextInput label="Name" required autoComplete="off" autoCapitalize="none" data-autofocus {...form.getInputProps('name')} />}
          <Select
            label="Role"
            allowDeselect={false}
            description={ROLES[form.values.role]}
            data={Object.keys(ROLES)}
            {...form.getInputProps('role')}
          />
          <PasswordInput
            label={of ? 'New password' : 'Password'}
            description={of ? `Empty: it stays. Otherwise at least ${SHORTEST} characters; its sessions end.` : `At least ${SHORTEST} characters`}
            autoComplete="new-password"
            visibilityToggleButtonProps={{ tabIndex: 0, 'aria-label': 'Show the password' }}
            {...form.getInputProps('password')}
          />
          {saving.isError && <Refused error={saving.error} fields={FIELDS} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={saving.isPending}>
              {of ? 'Save' : 'Make the account'}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Toggle({ of, onClose }: { readonly of: Operator; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const saving = useMutation({
    mutationFn: () => read(api.PATCH('/api/v1/operators/{name}', { params: { path: { name: of.name } }, body: { disabled: !of.disabled } })),
    onSuccess: async () => {
      tell.done(`${of.name} is ${of.disabled ? 'enabled' : 'disabled'}`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['operators'] });
    },
  });
  return (
    <Confirm
      title={of.disabled ? `Enable ${of.name}?` : `Disable ${of.name}?`}
      impact={of.disabled ? 'The account can log in again.' : 'The account cannot log in, and its sessions end. Its API tokens are not touched.'}
      verb={of.disabled ? 'Enable' : 'Disable'}
      danger={!of.disabled}
      busy={saving.isPending}
      error={saving.error}
      onConfirm={() => saving.mutate()}
      onClose={onClose}
    />
  );
}
