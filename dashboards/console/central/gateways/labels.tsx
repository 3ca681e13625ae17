import { Button, Group, Modal, Stack } from '@mantine/core';
import { read } from '@frame/api';
import { Refused } from '@frame/parts/Note';
import { atFields } from '@frame/problem';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api } from '../api';
import type { Gateway } from './data';
import { type LabelRow, LabelFields, labelsOf, rowsOf } from './fields';

/** Gives a gateway other labels. */
export function EditLabels({ gateway, onClose }: { readonly gateway: Gateway; readonly onClose: () => void }) {
  const [rows, setRows] = useState<readonly LabelRow[]>(() => rowsOf(gateway.labels));
  const queries = useQueryClient();
  const saving = useMutation({
    mutationFn: () => read(api.PUT('/api/v1/gateways/{name}/labels', { params: { path: { name: gateway.name } }, body: { labels: labelsOf(rows) } })),
    onSuccess: async (after) => {
      queries.setQueryData(['gateways', 'one', gateway.name], after);
      tell.done(`${gateway.name} has its labels`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['gateways'] });
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    saving.mutate();
  };
  return (
    <Modal opened onClose={onClose} title={`Labels of ${gateway.name}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <p style={{ margin: 0 }}>Policies select gateways by these. The gateway connects anew, and decides by the new labels a moment later.</p>
          <LabelFields rows={rows} onChange={setRows} error={atFields(saving.error, ['labels'])['labels']} />
          {saving.isError && <Refused error={saving.error} fields={['labels']} />}
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
