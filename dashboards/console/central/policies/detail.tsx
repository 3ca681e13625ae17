import { Button, Stack, Tabs } from '@mantine/core';
import { read } from '@frame/api';
import { bytes, count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Confirm } from '@frame/parts/Confirm';
import { Shown } from '@frame/parts/Note';
import { Page, Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { State, Tag } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { may, session } from '@frame/session';
import { useStore } from '@frame/store';
import { tell } from '@frame/tell';
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';

import { figuresQuery, OUTCOMES } from '../figures/data';
import { ConvergencePanel } from './convergence';
import { historyQuery, policyQuery } from './data';
import { policyRoute, TABS } from './route';
import { EditPolicy } from './revise';
import { remove } from './write';

/** One policy: its text, its hits, its history. */
export function PolicyDetail() {
  const { name } = policyRoute.useParams();
  const { tab = 'text' } = policyRoute.useSearch();
  const navigate = policyRoute.useNavigate();
  const asked = useQuery({ ...policyQuery(name), refetchInterval: useAskEvery() });
  const now = useStore(session);
  const [deleting, setDeleting] = useState(false);
  const edits = may(now, 'edit-policies');
  const policy = asked.data?.value;
  // The document leaves it open; the published schema says what is in it.
  const spec: { spec?: { mode?: string; effect?: string } } | undefined = policy?.document;
  return (
    <Page
      title={name}
      crumbs={[{ title: 'Policies', to: '/policies' }]}
      lead={
        policy && (
          <>
            <State tone={spec?.spec?.mode === 'enforce' ? 'good' : spec?.spec?.mode === 'audit' ? 'warn' : 'idle'}>{spec?.spec?.mode}</State>{' '}
            <Tag tone={spec?.spec?.effect === 'deny' ? 'bad' : 'accent'}>{spec?.spec?.effect}</Tag> Changed in revision {policy.changed_in} by {policy.updated_by}{' '}
            <Time at={policy.updated_at} />
          </>
        )
      }
      actions={
        edits &&
        policy && (
          <Button variant="default" c="var(--sg-bad)" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )
      }
    >
      <Tabs
        value={tab}
        onChange={(value) => void navigate({ search: { tab: TABS.find((one) => one === value) }, replace: true })}
        keepMounted
        // Hidden, not put to sleep: what was typed is asked about before the page is left from another tab too.
        keepMountedMode="display-none"
        mb="sm"
      >
        <Tabs.List mb="sm">
          <Tabs.Tab value="text">Text</Tabs.Tab>
          <Tabs.Tab value="figures">Hits</Tabs.Tab>
          <Tabs.Tab value="history">History</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="text">
          <Shown of={asked} what="the policy">
            {({ value, etag }) => (
              <Stack gap="sm">
                <EditPolicy name={name} source={value.source} etag={etag} changedIn={value.changed_in} edits={edits} />
                <ConvergencePanel />
              </Stack>
            )}
          </Shown>
        </Tabs.Panel>
        <Tabs.Panel value="figures">{tab === 'figures' && <Hits name={name} />}</Tabs.Panel>
        <Tabs.Panel value="history">{tab === 'history' && <PolicyHistory name={name} />}</Tabs.Panel>
      </Tabs>
      {deleting && asked.data && <Delete name={name} etag={asked.data.etag} onClose={() => setDeleting(false)} />}
    </Page>
  );
}

function Hits({ name }: { readonly name: string }) {
  const figures = useQuery({ ...figuresQuery({ policy: [name] }), refetchInterval: useAskEvery() });
  return (
    <Panel title="Hits" flush aside={<Link to="/figures" search={{ policy: name, by: 'key' }}>All rows</Link>}>
      <Shown of={figures} what="hits" lines={3}>
        {(answer) => (
          <Small
            head={['Gateway', 'Bucket', 'Outcome', 'Objects', 'Data']}
            right={3}
            none="No object has matched it yet."
            rows={answer.rows
              .filter((row) => row.objects > 0)
              .map((row) => [row.gateway, row.bucket, <span key="outcome" title={OUTCOMES[row.outcome ?? '']}>{row.outcome}</span>, count(row.objects), bytes(row.bytes)])}
          />
        )}
      </Shown>
    </Panel>
  );
}

function PolicyHistory({ name }: { readonly name: string }) {
  const history = useInfiniteQuery(historyQuery());
  return (
    <Panel title="Revisions that changed it" flush>
      <Shown of={history} what="the history" lines={4}>
        {(answer) => (
          <>
            <Small
              head={['Revision', 'What happened', 'When', 'By', 'Difference']}
              none="None of the newest revisions changed it."
              rows={answer.pages
                .flatMap((page) => page.revisions)
                .flatMap((revision) => revision.changes.filter((change) => change.name === name).map((change) => ({ revision, change })))
                .map(({ revision, change }) => [
                  revision.number,
                  revision.restores ? `${change.change} by going back to revision ${revision.restores}` : change.change,
                  <Time key="at" at={revision.created_at} />,
                  revision.created_by,
                  <Link key="diff" to="/revisions" search={{ from: revision.number - 1, to: revision.number }}>
                    What changed
                  </Link>,
                ])}
            />
            {history.hasNextPage && (
              <div className="sg-body">
                <Button variant="default" loading={history.isFetchingNextPage} onClick={() => void history.fetchNextPage()}>
                  Look further back
                </Button>
              </div>
            )}
          </>
        )}
      </Shown>
    </Panel>
  );
}

function Delete({ name, etag, onClose }: { readonly name: string; readonly etag: string; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const deleting = useMutation({
    mutationFn: () => read(remove(name, etag)),
    onSuccess: async () => {
      tell.done(`${name} is deleted`, 'An earlier revision still has it.');
      await navigate({ to: '/policies' });
      await queries.invalidateQueries({ queryKey: ['policies'] });
    },
  });
  return (
    <Confirm
      title={`Delete ${name}?`}
      impact="From the next revision on it decides nothing. What it encrypted stays encrypted. Going back to an earlier revision brings it back."
      word={name}
      verb="Delete"
      danger
      busy={deleting.isPending}
      error={deleting.error}
      onConfirm={() => deleting.mutate()}
      onClose={onClose}
    />
  );
}
