import { Button, Group, NumberInput, Stack } from '@mantine/core';
import { read } from '@frame/api';
import { plural } from '@frame/format';
import { useAskListEvery } from '@frame/live';
import { Confirm } from '@frame/parts/Confirm';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Shown } from '@frame/parts/Note';
import { Page, Panel } from '@frame/parts/Page';
import { Tag } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { may, session } from '@frame/session';
import { useStore } from '@frame/store';
import { tell } from '@frame/tell';
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';

import { api, type Schemas } from '../api';
import { ConvergencePanel } from './convergence';
import { diffQuery, historyQuery } from './data';
import { UnifiedDiff } from './diff';
import { historyRoute } from './route';

type Entry = Schemas['Entry'];

const CAUSES: Readonly<Record<string, string>> = {
  edit: 'A policy was written',
  delete: 'A policy was deleted',
  apply: 'Policies were applied together',
  rollback: 'An earlier revision was published again',
  lineage: 'A new lineage was begun',
};

/** The history of the set: how revisions differ, how far the newest has come, and the way back. */
export function Revisions() {
  const { from, to } = historyRoute.useSearch();
  const navigate = historyRoute.useNavigate();
  const now = useStore(session);
  const history = useInfiniteQuery({ ...historyQuery(), refetchInterval: useAskListEvery() });
  const rows = useMemo(() => history.data?.pages.flatMap((page) => page.revisions), [history.data]);
  const [back, setBack] = useState<Entry | null>(null);
  const head = rows?.[0]?.number;
  const edits = may(now, 'edit-policies');
  const columns = useMemo((): readonly Column<Entry>[] => {
    const all: Column<Entry>[] = [
      { id: 'number', head: 'Revision', align: 'right', value: (row) => row.number, cell: (row) => row.number },
      {
        id: 'cause',
        head: 'What happened',
        value: (row) => row.cause,
        cell: (row) => <>{CAUSES[row.cause] ?? row.cause}{row.restores ? `: ${row.restores}` : ''}</>,
      },
      {
        id: 'changes',
        head: 'Policies',
        value: (row) => row.changes.map((change) => `${change.change} ${change.name}`).join('; '),
        cell: (row) => (
          <span className="sg-tags">
            {row.changes.slice(0, 4).map((change) => (
              <Tag key={change.uid} tone={change.change === 'removed' ? 'bad' : change.change === 'added' ? 'good' : 'accent'}>
                {change.change} {change.name}
              </Tag>
            ))}
            {row.changes.length > 4 && <Tag>and {row.changes.length - 4} more</Tag>}
          </span>
        ),
      },
      { id: 'at', head: 'When', value: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
      { id: 'by', head: 'By', value: (row) => row.created_by, cell: (row) => row.created_by },
      {
        id: 'diff',
        head: 'Difference',
        cell: (row) =>
          row.number > 1 ? (
            <Link to="/revisions" search={{ from: row.number - 1, to: row.number }}>
              What changed<span className="sg-hidden"> in revision {row.number}</span>
            </Link>
          ) : (
            'the first'
          ),
      },
    ];
    if (edits) {
      all.push({
        id: 'back',
        head: 'Way back',
        cell: (row) =>
          row.number === head ? (
            'in force'
          ) : (
            <Button size="compact-xs" variant="default" onClick={() => setBack(row)}>
              Go back to it<span className="sg-hidden">: revision {row.number}</span>
            </Button>
          ),
      });
    }
    return all;
  }, [edits, head]);
  return (
    <Page title="Revisions" lead="Each change of policies is a revision of the whole set. Numbers only go up; going back publishes the old content anew.">
      <Stack gap="sm">
        <ConvergencePanel />
        {from !== undefined && to !== undefined && (
          <Difference from={from} to={to} onChange={(a, b) => void navigate({ search: { from: a, to: b }, replace: true })} onClose={() => void navigate({ search: {} })} />
        )}
        <div className="sg-panel">
          <DataTable
            what="revisions"
            columns={columns}
            rows={rows}
            rowKey={(row) => String(row.number)}
            asked={history}
            more={{ has: history.hasNextPage, busy: history.isFetchingNextPage, load: () => void history.fetchNextPage() }}
            total={head}
            empty={<Empty title="No revision yet">The first policy that is published makes the first revision.</Empty>}
          />
        </div>
      </Stack>
      {back && head !== undefined && <GoBack to={back} head={head} onClose={() => setBack(null)} />}
    </Page>
  );
}

interface DifferenceProps {
  readonly from: number;
  readonly to: number;
  readonly onChange: (from: number, to: number) => void;
  readonly onClose: () => void;
}

function Difference({ from, to, onChange, onClose }: DifferenceProps) {
  const asked = useQuery(diffQuery(from, to));
  return (
    <Panel
      title={`From revision ${from} to ${to}`}
      aside={
        <Button size="xs" variant="default" onClick={onClose}>
          Close
        </Button>
      }
    >
      <Stack gap="sm">
        <Group gap="xs" align="flex-end">
          <NumberInput label="From" w={110} min={0} value={from} onChange={(value) => onChange(Number(value), to)} />
          <NumberInput label="To" w={110} min={0} value={to} onChange={(value) => onChange(from, Number(value))} />
        </Group>
        <Shown of={asked} what="the difference" lines={4}>
          {(diff) =>
            diff.policies.length === 0 ? (
              <>These revisions say the same.</>
            ) : (
              <Stack gap="md">
                <span>{plural(diff.policies.length, 'policy differs', 'policies differ')}</span>
                {diff.policies.map((policy) => (
                  <section key={policy.name} aria-label={policy.name}>
                    <h3 style={{ margin: '0 0 6px', fontSize: '0.9375rem' }}>
                      {policy.name} <Tag tone={policy.change === 'removed' ? 'bad' : policy.change === 'added' ? 'good' : 'accent'}>{policy.change}</Tag>
                    </h3>
                    <UnifiedDiff text={policy.text} />
                  </section>
                ))}
              </Stack>
            )
          }
        </Shown>
      </Stack>
    </Panel>
  );
}

function GoBack({ to, head, onClose }: { readonly to: Entry; readonly head: number; readonly onClose: () => void }) {
  const diff = useQuery(diffQuery(head, to.number));
  const queries = useQueryClient();
  const going = useMutation({
    mutationFn: () =>
      // Under the head that is shown: what somebody else published meanwhile is not undone unseen.
      read(api.POST('/api/v1/policy-set/rollback', { body: { revision: to.number }, params: { header: { 'If-Match': `"${head}@${to.lineage}"` } } })),
    onSuccess: async (done) => {
      tell.done(`Revision ${done.revision} is published`, `It has the content of revision ${to.number}.`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['policies'] });
    },
  });
  return (
    <Confirm
      title={`Go back to revision ${to.number}?`}
      impact={
        <>
          <p style={{ marginTop: 0 }}>Its content is published as revision {head + 1}, to every gateway. What was encrypted stays encrypted.</p>
          <Shown of={diff} what="what would change" lines={2}>
            {(found) => (
              <p style={{ margin: 0 }}>
                {found.policies.length === 0
                  ? 'Nothing would change: the newest revision says the same.'
                  : `Changes: ${found.policies.map((policy) => `${policy.name} (${policy.change})`).join(', ')}.`}
              </p>
            )}
          </Shown>
        </>
      }
      word={String(to.number)}
      verb="Publish it again"
      danger
      busy={going.isPending}
      error={going.error}
      onConfirm={() => going.mutate()}
      onClose={onClose}
    />
  );
}
