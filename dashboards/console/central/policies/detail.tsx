import { Button, Stack, Tabs } from '@mantine/core';
import { read } from '@frame/api';
import { bytes, count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Confirm } from '@frame/parts/Confirm';
import type { Column } from '@frame/parts/DataTable';
import { Note, Shown } from '@frame/parts/Note';
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

import type { Schemas } from '../api';
import { figuresQuery, OUTCOMES, type Row } from '../figures/data';
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
        onChange={(value) => void navigate({ search: (was) => ({ ...was, tab: TABS.find((one) => one === value) }), replace: true })}
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

const HITS: readonly Column<Row>[] = [
  { id: 'gateway', line: true, head: 'Gateway', value: (row) => row.gateway, cell: (row) => row.gateway },
  { id: 'bucket', line: true, head: 'Bucket', value: (row) => row.bucket, cell: (row) => row.bucket },
  { id: 'outcome', line: true, head: 'Outcome', value: (row) => row.outcome, cell: (row) => <span title={OUTCOMES[row.outcome ?? '']}>{row.outcome}</span> },
  { id: 'objects', head: 'Objects', align: 'right', value: (row) => row.objects, cell: (row) => count(row.objects) },
  { id: 'bytes', head: 'Data', align: 'right', value: (row) => row.bytes, cell: (row) => <span title={`${count(row.bytes)} bytes`}>{bytes(row.bytes)}</span> },
];

function Hits({ name }: { readonly name: string }) {
  const figures = useQuery({ ...figuresQuery({ policy: [name] }), refetchInterval: useAskEvery() });
  return (
    <Panel title="Hits" flush aside={<Link to="/figures" search={{ policy: name, by: 'key' }}>All rows</Link>}>
      <Shown of={figures} what="hits" lines={3}>
        {(answer) => (
          <>
            {answer.truncated && (
              <div className="sg-body">
                <Note tone="warn">{`There are more than ${count(answer.rows.length)} rows; these are the first of them. All rows can be narrowed down, or summed.`}</Note>
              </div>
            )}
            <Small
              what="hits"
              columns={HITS}
              rows={answer.rows.filter((row) => row.objects > 0)}
              rowKey={(row) => [row.gateway, row.bucket, row.outcome].join(' ')}
              none={answer.truncated ? 'None of these rows has an object.' : 'No object has matched it yet.'}
            />
          </>
        )}
      </Shown>
    </Panel>
  );
}

type Change = Schemas['Entry'] & { readonly happened: string };

const happened = (change: string, restores: number | null | undefined): string => (restores ? `${change} by going back to revision ${restores}` : change);

const REVISIONS: readonly Column<Change>[] = [
  { id: 'number', head: 'Revision', value: (row) => row.number, cell: (row) => row.number },
  { id: 'happened', head: 'What happened', value: (row) => row.happened, cell: (row) => row.happened },
  { id: 'at', head: 'When', value: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
  { id: 'by', head: 'By', value: (row) => row.created_by, cell: (row) => row.created_by },
  {
    id: 'diff',
    head: 'Difference',
    cell: (row) => (
      <Link to="/revisions" search={{ from: row.number - 1, to: row.number }}>
        What changed<span className="sg-hidden"> in revision {row.number}</span>
      </Link>
    ),
  },
];

/** What is known where none of so many revisions changed it. The history is of the present lineage. */
const lookedThrough = (revisions: number, further: boolean, cut: boolean): string =>
  cut ? 'Some of these revisions changed more policies than are told here. It may be among them.'
  : further ? `None of the newest ${count(revisions)} revisions changed it.` : 'No revision changed it since the lineage began.';

function PolicyHistory({ name }: { readonly name: string }) {
  const history = useInfiniteQuery(historyQuery());
  return (
    <Panel title="Revisions that changed it" flush>
      <Shown of={history} what="the history" lines={4}>
        {(answer) => (
          <>
            <Small
              what="revisions"
              columns={REVISIONS}
              rows={answer.pages
                .flatMap((page) => page.revisions)
                .flatMap((revision) => revision.changes.filter((change) => change.name === name).map((change) => ({ ...revision, happened: happened(change.change, revision.restores) })))}
              rowKey={(row) => String(row.number)}
              none={lookedThrough(
                answer.pages.reduce((sum, page) => sum + page.revisions.length, 0),
                history.hasNextPage,
                answer.pages.some((page) => page.revisions.some((revision) => revision.truncated)),
              )}
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
