import { Button, Group, Modal, Stack, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { Refused } from '@frame/parts/Note';
import { atFields } from '@frame/problem';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api } from '../api';
import { breaksRule } from './name';

/** Makes a bucket where new ones lie: in the backend that is home. */
export function CreateBucket({ onClose }: { readonly onClose: () => void }) {
  const [name, setName] = useState('');
  const [tried, setTried] = useState(false);
  const queries = useQueryClient();
  const making = useMutation({
    mutationFn: () => read(api.POST('/api/v1/buckets', { body: { bucket: name } })),
    onSuccess: async (made) => {
      tell.done(`${made.bucket} is made`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  const broken = breaksRule(name);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    setTried(true);
    if (broken === undefined) making.mutate();
  };
  return (
    <Modal opened onClose={onClose} title="New bucket" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack gap="sm">
          <TextInput
            label="Name"
            description="3 to 63 lower-case letters, digits, dots and hyphens. It cannot be changed later."
            required
            data-autofocus
            autoComplete="off"
            spellCheck={false}
            value={name}
            error={(tried ? broken : undefined) ?? atFields(making.error, ['bucket'])['bucket']}
            onChange={(event) => {
              setName(event.currentTarget.value.trim());
              making.reset();
            }}
          />
          {making.isError && <Refused error={making.error} fields={['bucket']} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" disabled={name === ''} loading={making.isPending}>
              Make the bucket
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
