import { Button, Group, PasswordInput, Stack } from '@mantine/core';
import { useForm } from '@mantine/form';
import { read } from '@frame/api';
import { Refused } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { atFields } from '@frame/problem';
import { session } from '@frame/session';
import { useStore } from '@frame/store';
import { tell } from '@frame/tell';
import { useMutation } from '@tanstack/react-query';

import { api } from '../api';
import { ROLES } from '../people/roles';
import { SHORTEST } from '../people/password';

/** The account of whoever is logged in, and its password. */
export function Account() {
  const now = useStore(session);
  const who = now.is === 'in' || now.is === 'over' ? now.who : undefined;
  return (
    <Page title="Account" lead="Yours. Roles and other people’s passwords are changed by an administrator, under Users.">
      <Stack gap="sm">
        <Panel title="Who you are">
          <Pairs
            of={[
              ['Name', who?.name],
              ['Role', who && <>{who.role}: {ROLES[who.role as keyof typeof ROLES].toLowerCase()}</>],
            ]}
          />
        </Panel>
        <Panel title="Password">
          <Password name={who?.name ?? ''} />
        </Panel>
      </Stack>
    </Page>
  );
}

const FIELDS = ['current', 'new'] as const;

function Password({ name }: { readonly name: string }) {
  const form = useForm({
    initialValues: { current: '', new: '', again: '' },
    validate: {
      current: (value) => (value === '' ? 'Your present password is missing' : null),
      new: (value) => (value.length >= SHORTEST ? null : `At least ${SHORTEST} characters`),
      again: (value, values) => (value === values.new ? null : 'The two are not the same'),
    },
  });
  const changing = useMutation({
    mutationFn: (values: typeof form.values) => read(api.POST('/api/v1/session/password', { body: { current: values.current, new: values.new } })),
    onSuccess: () => {
      form.reset();
      tell.done('Your password is changed', 'Your other sessions are over; this one goes on.');
    },
    onError: (error) => form.setErrors(atFields(error, FIELDS)),
  });
  return (
    <form onSubmit={form.onSubmit((values) => changing.mutate(values))} noValidate>
      <Stack gap="sm" maw={420}>
        {/* A keeper of passwords must know whose it is. */}
        <input className="sg-hidden" type="text" autoComplete="username" value={name} readOnly tabIndex={-1} aria-hidden />
        <PasswordInput
          label="Present password"
          autoComplete="current-password"
          visibilityToggleButtonProps={{ tabIndex: 0, 'aria-label': 'Show the present password' }}
          {...form.getInputProps('current')}
        />
        <PasswordInput
          label="New password"
          description={`At least ${SHORTEST} characters`}
          autoComplete="new-password"
          visibilityToggleButtonProps={{ tabIndex: 0, 'aria-label': 'Show the new password' }}
          {...form.getInputProps('new')}
        />
        <PasswordInput
          label="New password, again"
          autoComplete="new-password"
          visibilityToggleButtonProps={{ tabIndex: 0, 'aria-label': 'Show the new password, again' }}
          {...form.getInputProps('again')}
        />
        <p style={{ margin: 0, color: 'var(--sg-quiet)' }}>Your other sessions end. API tokens go on.</p>
        {changing.isError && <Refused error={changing.error} fields={FIELDS} />}
        <Group>
          <Button type="submit" loading={changing.isPending}>
            Change the password
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
