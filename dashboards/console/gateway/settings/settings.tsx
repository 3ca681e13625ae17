import { Stack } from '@mantine/core';
import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import type { Column } from '@frame/parts/DataTable';
import { Shown } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';

import type { Schemas } from '../api';
import { infoQuery, settingsQuery } from './data';
import { Floor } from './floor';
import { FormerPlaces } from './places';

const MAPPINGS: readonly Column<Schemas['Mapped']>[] = [
  { id: 'bucket', head: 'Bucket', value: (row) => row.bucket, cell: (row) => row.bucket },
  { id: 'backend', head: 'Backend', value: (row) => row.backend, cell: (row) => row.backend },
  { id: 'there', head: 'Its name there', value: (row) => row.backing_bucket, cell: (row) => row.backing_bucket },
];

/** What concerns the group as a whole, and what this gateway is. */
export function Settings() {
  const every = useAskEvery();
  const settings = useQuery({ ...settingsQuery(), refetchInterval: every });
  const info = useQuery({ ...infoQuery(), refetchInterval: every });
  return (
    <Page title="Settings" lead="What holds for every gateway of the group. How each one runs is set in its configuration file; docs/OPERATIONS.md lists every setting.">
      <Stack gap="sm">
        <Shown of={settings} what="settings">
          {(now) => (
            <>
              <Floor key={now.floor.encrypt.join('\n')} patterns={now.floor.encrypt} />
              <FormerPlaces places={now.former_places} />
              <Panel title="Mapped buckets" flush>
                <Small
                  what="mapped buckets"
                  columns={MAPPINGS}
                  rows={now.mappings}
                  rowKey={(row) => row.bucket}
                  none="No bucket is mapped: each lies under its own name in the home backend."
                />
              </Panel>
            </>
          )}
        </Shown>
        <Panel title="This gateway">
          <Shown of={info} what="the gateway">
            {(now) => (
              <Pairs
                of={[
                  ['Version', now.version],
                  ['Writes', <State key="writes" tone={now.writable ? 'good' : 'bad'}>{now.writable ? 'accepted' : 'refused'}</State>],
                  ['Group', <code key="group">{now.group}</code>],
                  ['Settings of the group', `revision ${count(now.revision)}`],
                  ['Home storage', now.backend === 'directory' ? 'a directory' : now.backend === 's3' ? 'an S3 service' : now.backend],
                  ['Storage ID', <code key="storage">{now.storage_id}</code>],
                  ['System bucket', <code key="system">{now.system_bucket}</code>],
                  [
                    'Gateways at once',
                    now.conditional_writes === 'enforced' ? 'several: the storage keeps their writes apart' : <State key="one" tone="warn">one only: the storage does not enforce conditional writes</State>,
                  ],
                  ['Counts the stored objects', now.jobs.inventory ? 'this gateway, for the group' : 'another gateway of the group'],
                  ['Clears up after uploads', now.jobs.sweeping ? 'this gateway, for the group' : 'another gateway of the group'],
                  ['Cleared up last', <Time key="swept" at={now.jobs.swept_ms === null || now.jobs.swept_ms === undefined ? null : new Date(now.jobs.swept_ms).toISOString()} never="not since its start" />],
                ]}
              />
            )}
          </Shown>
        </Panel>
      </Stack>
    </Page>
  );
}
