import { Button, Stack } from '@mantine/core';
import { read } from '@frame/api';
import { Confirm } from '@frame/parts/Confirm';
import { Note, Shown } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { tell } from '@frame/tell';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { api } from '../api';
import { convergenceQuery } from '../policies/data';

/** What concerns Central as a whole. */
export function Settings() {
  const head = useQuery(convergenceQuery());
  const [beginning, setBeginning] = useState(false);
  return (
    <Page title="Settings" lead="How Central runs is set in its configuration file and environment; docs/OPERATIONS.md lists every setting.">
      <Stack gap="sm">
        <Panel title="Configuration">
          <Note>
            <p>
              <code>sealgate-central --print-config</code> prints what is in force, with secrets masked.
            </p>
          </Note>
        </Panel>
        <Panel
          title="Lineage of the policies"
          aside={
            <Button size="xs" variant="default" c="var(--sg-bad)" onClick={() => setBeginning(true)} disabled={!head.data}>
              Begin a new lineage
            </Button>
          }
        >
          <Shown of={head} what="the lineage" lines={2}>
            {(now) => (
              <Stack gap="xs">
                <Pairs of={[['Lineage', <code key="lineage">{now.lineage}</code>], ['Newest revision', now.revision]]} />
                <p style={{ margin: 0, color: 'var(--sg-quiet)' }}>
                  Gateways never accept a lower revision of a lineage. When Central was restored from an older backup, gateways hold newer revisions than it
                  has, and policies cannot be changed until a new lineage is begun with the set as Central has it.
                </p>
              </Stack>
            )}
          </Shown>
        </Panel>
      </Stack>
      {beginning && head.data && <Begin lineage={head.data.lineage} onClose={() => setBeginning(false)} />}
    </Page>
  );
}

function Begin({ lineage, onClose }: { readonly lineage: string; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const beginning = useMutation({
    mutationFn: () => read(api.POST('/api/v1/policy-set/lineage', { body: { instead_of: lineage } })),
    onSuccess: async () => {
      tell.done('A new lineage is begun');
      onClose();
      await queries.invalidateQueries({ queryKey: ['policies'] });
    },
  });
  return (
    <Confirm
      title="Begin a new lineage?"
      impact="Every gateway takes over the policies as Central has them now, also those that hold newer ones: what was published after the backup is lost. Look at the policies first."
      word={lineage}
      verb="Begin it"
      danger
      busy={beginning.isPending}
      error={beginning.error}
      onConfirm={() => beginning.mutate()}
      onClose={onClose}
    />
  );
}
