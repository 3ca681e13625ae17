import { Button, Group, Stack, TagsInput } from '@mantine/core';
import { read } from '@frame/api';
import { Confirm } from '@frame/parts/Confirm';
import { Panel } from '@frame/parts/Page';
import { Failure } from '@frame/parts/Note';
import { Unsaved } from '@frame/parts/Unsaved';
import { tell } from '@frame/tell';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { api } from '../api';
import { bucketsQuery } from '../buckets/data';

/** Buckets in which every new object is encrypted, whatever switches and policies say. */
export function Floor({ patterns }: { readonly patterns: readonly string[] }) {
  const [edited, setEdited] = useState<string[]>([...patterns]);
  const [asking, setAsking] = useState(false);
  const buckets = useQuery(bucketsQuery());
  const queries = useQueryClient();
  const saving = useMutation({
    mutationFn: () => read(api.PUT('/api/v1/settings/floor', { body: { encrypt: edited } })),
    onSuccess: async () => {
      tell.done('The floor is saved');
      setAsking(false);
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  const dirty = edited.join('\n') !== patterns.join('\n');
  const lost = patterns.filter((pattern) => !edited.includes(pattern));
  const save = () => (lost.length > 0 ? setAsking(true) : saving.mutate());
  return (
    <Panel title="Floor">
      <Stack gap="sm">
        <p style={{ margin: 0, color: 'var(--sg-quiet)' }}>Every new object in these buckets is encrypted, whatever switches, policies and clients say. It holds without Central.</p>
        <TagsInput
          label="Buckets"
          description="Names or patterns, as finance or hr-*; each with Enter. * is every bucket."
          placeholder={edited.length === 0 ? 'None: nothing is below the floor' : undefined}
          data={['*', ...(buckets.data?.buckets.map((one) => one.bucket) ?? [])]}
          value={edited}
          acceptValueOnBlur
          comboboxProps={{ withinPortal: false }}
          onChange={setEdited}
        />
        {saving.isError && !asking && <Failure error={saving.error} />}
        <Group gap="xs">
          <Button disabled={!dirty} loading={saving.isPending && !asking} onClick={save}>
            Save the floor
          </Button>
          {dirty && (
            <Button variant="default" onClick={() => setEdited([...patterns])}>
              Undo
            </Button>
          )}
        </Group>
      </Stack>
      <Unsaved dirty={dirty} />
      {asking && (
        <Confirm
          title="Lower the floor?"
          impact={`New objects in ${lost.join(', ')} are stored as they come, unless a switch, a policy or the client asks for encryption. What is encrypted stays so.`}
          word="lower"
          verb="Lower it"
          danger
          busy={saving.isPending}
          error={saving.error}
          onConfirm={() => saving.mutate()}
          onClose={() => setAsking(false)}
        />
      )}
    </Panel>
  );
}
