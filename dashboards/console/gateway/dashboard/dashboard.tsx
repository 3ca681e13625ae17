import { Stack } from '@mantine/core';
import { read } from '@frame/api';
import { bytes, count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Note, Shown } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { useQuery } from '@tanstack/react-query';

import { api } from '../api';

/** How the gateway is. */
export function Dashboard() {
  const info = useQuery({
    queryKey: ['gateway', 'info'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/info', { signal })),
    refetchInterval: useAskEvery(),
  });
  const central = useQuery({
    queryKey: ['gateway', 'central'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/central', { signal })),
    refetchInterval: useAskEvery(),
  });
  return (
    <Page title="Dashboard">
      <Shown of={info} what="the gateway">
        {(now) => (
          <Stack gap="sm">
            {now.troubles.map((trouble) => (
              <Note key={`${trouble.part}${trouble.message}`} tone="bad" title={trouble.part}>
                {trouble.message}
              </Note>
            ))}
            <Panel title="Gateway">
              <Pairs
                of={[
                  ['Writes', <State key="writes" tone={now.writable ? 'good' : 'bad'}>{now.writable ? 'accepted' : 'refused'}</State>],
                  ['Active KMS', now.active_kms ?? <State key="kms" tone="warn">none: nothing can be encrypted</State>],
                  ['Storage', now.backend],
                  ['Version', now.version],
                  ['Group', <code key="group">{now.group}</code>],
                ]}
              />
            </Panel>
            <Panel title="Central">
              <Shown of={central} what="Central" lines={3}>
                {(link) =>
                  link.configured ? (
                    <Pairs
                      of={[
                        ['Connection', <State key="connection" tone={link.connected ? 'good' : 'warn'}>{link.connected ? 'connected' : 'not connected: it works on by the last policies'}</State>],
                        ['Name', link.name ?? 'not enrolled yet'],
                        ['Address', link.address ?? '–'],
                        ['Policies', link.revision === null || link.revision === undefined ? 'none received' : `revision ${link.revision}`],
                        ['Reports waiting', `${count(link.reports_waiting)} (${bytes(link.spool_bytes)})`],
                      ]}
                    />
                  ) : (
                    <>This gateway is not set up for Central. It works by its own switches and floor.</>
                  )
                }
              </Shown>
            </Panel>
          </Stack>
        )}
      </Shown>
    </Page>
  );
}
