import { Button, Group, Modal, Stack, Switch } from '@mantine/core';
import { read } from '@frame/api';
import { Failure, Note } from '@frame/parts/Note';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api } from '../api';
import type { Bucket } from './data';

/** What else can be set for a bucket. */
export function BucketSettings({ bucket, onClose }: { readonly bucket: Bucket; readonly onClose: () => void }) {
  const [anonymous, setAnonymous] = useState(bucket.anonymous_reads);
  const [refuse, setRefuse] = useState(bucket.refuse_plain_reads);
  const [decrypt, setDecrypt] = useState(bucket.decrypt_on_copy);
  const queries = useQueryClient();
  const saving = useMutation({
    mutationFn: () =>
      read(
        api.PUT('/api/v1/buckets/{name}/settings', {
          params: { path: { name: bucket.bucket } },
          body: { anonymous_reads: anonymous, refuse_plain_reads: refuse, decrypt_on_copy: decrypt },
        }),
      ),
    onSuccess: async (now) => {
      tell.done(`Settings of ${now.bucket} are saved`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    saving.mutate();
  };
  return (
    <Modal opened onClose={onClose} title={`Settings of ${bucket.bucket}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Switch
            data-autofocus
            label="Anybody may read"
            description="Requests without a signature are answered, decrypted where the object is encrypted."
            checked={anonymous}
            onChange={(event) => setAnonymous(event.currentTarget.checked)}
          />
          {anonymous && !bucket.anonymous_reads && <Note tone="warn">Whoever reaches the S3 address of a gateway can read every object of this bucket.</Note>}
          <Switch
            label="Refuse to read plain objects"
            description="An object that is not encrypted is not given out: it may have been put there past the gateways."
            checked={refuse}
            onChange={(event) => setRefuse(event.currentTarget.checked)}
          />
          <Switch
            label="Decrypt what is copied here"
            description="A copy into this bucket is stored as it is, where nothing asks for encryption."
            checked={decrypt}
            onChange={(event) => setDecrypt(event.currentTarget.checked)}
          />
          {saving.isError && <Failure error={saving.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={saving.isPending}>
              Save
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
