import { Button, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import { useEffect } from 'react';

import type { Application } from './application';
import { Banner } from './Banner';
import { Mark } from './Mark';
import { Failure } from './parts/Note';
import { begin } from './session';

interface Props {
  readonly app: Application;
  /** The session of this account ended. */
  readonly as?: string;
  /** In a dialog over a page. */
  readonly inside?: boolean;
}

/** Asks who is there. */
export function LogIn({ app, as = '', inside = false }: Props) {
  const form = useForm({
    mode: 'uncontrolled',
    initialValues: { name: as, secret: '' },
    validate: {
      name: (value) => (app.logIn.name && value.trim() === '' ? 'Your account is missing' : null),
      secret: (value) => (value === '' ? `The ${app.logIn.secret.toLowerCase()} is missing` : null),
    },
  });
  const enter = useMutation({
    mutationFn: ({ name, secret }: { name: string; secret: string }) => app.enter(name.trim(), secret),
    onSuccess: begin,
    onError: () => form.setFieldValue('secret', ''),
  });
  useEffect(() => {
    if (!inside) document.title = `Log in · ${app.name}`;
  }, [app.name, inside]);

  const fields = (
    <form onSubmit={form.onSubmit((values) => enter.mutate(values))} noValidate>
      <Stack gap="sm">
        {app.logIn.name && (
          <TextInput
            label="Account"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            key={form.key('name')}
            data-autofocus={as === '' || undefined}
            {...form.getInputProps('name')}
          />
        )}
        <PasswordInput
          label={app.logIn.secret}
          autoComplete="current-password"
          key={form.key('secret')}
          data-autofocus={as !== '' || undefined}
          visibilityToggleButtonProps={{ tabIndex: 0, 'aria-label': `Show the ${app.logIn.secret.toLowerCase()}` }}
          {...form.getInputProps('secret')}
        />
        {enter.isError && <Failure error={enter.error} />}
        <Button type="submit" fullWidth loading={enter.isPending}>
          Log in
        </Button>
      </Stack>
    </form>
  );
  if (inside) return fields;
  return (
    <>
      <Banner />
      <div className="sg-enter">
        <main>
          <Paper withBorder p="xl" radius="md">
            <Stack gap={2} mb="lg" align="center">
              <Mark size={40} />
              <Title order={1} mt={6}>
                Log in
              </Title>
              <Text c="dimmed" size="sm">
                {app.name}
              </Text>
            </Stack>
            {fields}
            <Text c="dimmed" size="xs" mt="md">
              {app.logIn.hint}
            </Text>
          </Paper>
        </main>
      </div>
    </>
  );
}
