import { Button, Select, Stack } from '@mantine/core';
import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State, Tag } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { Typed } from '@frame/parts/Typed';
import { Way } from '@frame/parts/Way';
import { may, session } from '@frame/session';
import { useStore } from '@frame/store';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import type { Schemas } from '../api';
import { OUTCOMES } from '../figures/data';
import { ConvergencePanel } from './convergence';
import { policiesQuery } from './data';
import { MODES, policiesRoute } from './route';

type Line = Schemas['Line'];

/** Objects towards the storage for which a policy was recorded, by what became of them. */
const HITS = [
  ['encrypted', 'encrypted'],
  ['would_encrypt', 'would-encrypt'],
  ['denied', 'denied'],
  ['would_deny', 'would-deny'],
  ['error', 'error'],
] as const;

const total = (row: Line): number => HITS.reduce((sum, [field]) => sum + row.hits[field], 0);

/** How good a mode is: what is only counted protects nothing. */
const TONES: Readonly<Record<string, 'good' | 'warn' | 'idle'>> = { enforce: 'good', audit: 'warn', disabled: 'idle' };

const COLUMNS: readonly Column<Line>[] = [
  {
    id: 'name',
    head: 'Name',
    value: (row) => row.name,
    cell: (row) => (
      <Link to="/policies/$name" params={{ name: row.name }}>
        {row.name}
      </Link>
    ),
  },
  { id: 'mode', head: 'Mode', value: (row) => row.mode, cell: (row) => <State tone={TONES[row.mode] ?? 'idle'}>{row.mode}</State> },
  { id: 'effect', head: 'Effect', value: (row) => row.effect, cell: (row) => <Tag tone={row.effect === 'deny' ? 'bad' : 'accent'}>{row.effect}</Tag> },
  { id: 'priority', head: 'Priority', hint: 'Of two that match, the higher one is recorded', align: 'right', value: (row) => row.priority, cell: (row) => count(row.priority) },
  {
    id: 'hits',
    head: 'Hits',
    hint: 'Objects towards the storage for which it was recorded, ever, by outcome',
    align: 'right',
    value: total,
    cell: (row) =>
      total(row) === 0 ? (
        '0'
      ) : (
        <span className="sg-hits">
          {HITS.filter(([field]) => row.hits[field] > 0).map(([field, outcome]) => (
            <Way key={field} needs="read-gateways" to="/figures" search={{ policy: row.name, outcome, by: 'bucket' }}>
              <span title={OUTCOMES[outcome]}>
                {count(row.hits[field])} {outcome}
              </span>
            </Way>
          ))}
        </span>
      ),
  },
  { id: 'description', head: 'Description', value: (row) => row.description, cell: (row) => <span className="sg-words">{row.description}</span> },
  { id: 'changed', head: 'Revision', hint: 'That last changed it', align: 'right', value: (row) => row.changed_in, cell: (row) => row.changed_in },
  { id: 'updated', head: 'Changed', value: (row) => row.updated_at, cell: (row) => <Time at={row.updated_at} /> },
  { id: 'by', head: 'By', value: (row) => row.updated_by, cell: (row) => row.updated_by },
];

/** Every policy, with what it does and how often. */
export function PolicyList() {
  const search = policiesRoute.useSearch();
  const navigate = policiesRoute.useNavigate();
  const now = useStore(session);
  const list = useQuery({ ...policiesQuery(search.q, search.mode), refetchInterval: useAskEvery(), placeholderData: keepPreviousData });
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const filtered = search.q !== undefined || search.mode !== undefined;
  const write = may(now, 'edit-policies') && (
    <Button component={Link} to="/new-policy">
      Write a policy
    </Button>
  );
  return (
    <Page
      title="Policies"
      lead="Which incoming objects are encrypted or refused, whatever a client or a bucket’s toggle says. Each gateway decides by them without asking Central."
      actions={write}
    >
      <Stack gap="sm">
        <ConvergencePanel />
        <div className="sg-panel">
          <DataTable
            what="policies"
            columns={COLUMNS}
            rows={list.data?.policies}
            rowKey={(row) => row.uid}
            asked={list}
            sort={search.sort}
            onSort={(sort) => set({ sort })}
            tools={
              <>
                <Typed label="Name or description" width={240} value={search.q} onChange={(q) => set({ q })} />
                <Select
                  label="Mode"
                  w={150}
                  clearable
                  clearButtonProps={{ 'aria-label': 'Any mode' }}
                  placeholder="any"
                  value={search.mode ?? null}
                  data={MODES}
                  onChange={(value) => set({ mode: MODES.find((one) => one === value) })}
                />
                {filtered && (
                  <Button variant="default" onClick={() => set({ q: undefined, mode: undefined })}>
                    Reset
                  </Button>
                )}
              </>
            }
            empty={
              filtered ? (
                <Empty title="No policy is like that">Reset the filter to see all policies.</Empty>
              ) : (
                <Empty title="There is no policy yet" action={write}>
                  Without one, only what a bucket’s toggle or a client asks for is encrypted.
                </Empty>
              )
            }
          />
        </div>
      </Stack>
    </Page>
  );
}
