import { Stack } from '@mantine/core';
import { read } from '@frame/api';
import { useAskEvery } from '@frame/live';
import { Empty, Shown } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';

import { api } from '../api';

/** The policies as Central sent them; they are changed there. */
export function Policies() {
  const asked = useQuery({
    queryKey: ['policies'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/policies', { signal })),
    refetchInterval: useAskEvery(),
  });
  return (
    <Page title="Policies" lead="As Central sent them. They are written at Central; this gateway decides by them without asking.">
      <Shown of={asked} what="policies">
        {(now) => (
          <Stack gap="sm">
            <Panel title="Received">
              <Pairs
                of={[
                  ['Revision', now.revision ?? 'none yet'],
                  ['Effective', now.revision === null || now.revision === undefined ? 'nothing to be' : now.effective_revision === now.revision ? <State key="effective" tone="good">every write is decided by it</State> : <State key="pending" tone="warn">writes decided by an older one are under way</State>],
                  ['Received', <Time key="received" at={now.received} />],
                  ['Lineage', now.lineage ? <code key="lineage">{now.lineage}</code> : 'none yet'],
                ]}
              />
            </Panel>
            {now.policies.length === 0 && (
              <div className="sg-panel">
                <Empty title="There is no policy">Only what a bucket’s switch, a client or the floor asks for is encrypted.</Empty>
              </div>
            )}
            {now.policies.map((policy) => (
              <Panel key={policy.uid} title={policy.name} aside={<State tone={policy.mode === 'enforce' ? 'good' : policy.mode === 'audit' ? 'warn' : 'idle'}>{String(policy.mode)}</State>}>
                {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard */}
                <pre className="sg-code sg-wrap" tabIndex={0}>
                  {JSON.stringify(policy.document, null, 2)}
                </pre>
              </Panel>
            ))}
          </Stack>
        )}
      </Shown>
    </Page>
  );
}
