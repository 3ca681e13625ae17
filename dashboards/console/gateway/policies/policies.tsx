import { Drawer, Stack, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Failure, Loading, Note } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { Labels, State, type Tone } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import { api, type Schemas } from '../api';
import { policiesRoute } from './route';

type Policies = Schemas['Policies'];
type Policy = Schemas['ReceivedPolicy'];

const TONES: Readonly<Record<string, Tone>> = { enforce: 'good', audit: 'warn', disabled: 'idle' };
const MODES: Readonly<Record<string, string>> = { enforce: 'enforced', audit: 'audit: counted, not enforced', disabled: 'disabled' };

const modeOf = (policy: Policy): string => String(policy.mode);

/** Whether it has anything to say here, and why not. */
const here = (policy: Policy): string => (policy.applies_here ? 'yes' : policy.not_because === 'disabled' ? 'no: it is disabled' : policy.not_because === 'labels' ? 'no: it chooses gateways with other labels' : 'no');

/** The policies as Central sent them; they are changed there. */
export function PoliciesPage() {
  const search = policiesRoute.useSearch();
  const navigate = policiesRoute.useNavigate();
  const asked = useQuery({
    queryKey: ['policies'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/policies', { signal })),
    refetchInterval: useAskEvery(),
    // Hits are counted.
    meta: { also: ['statistics'] },
  });
  const rows = useMemo(() => asked.data?.policies.filter((policy) => policy.name.toLowerCase().includes(search.q?.toLowerCase() ?? '')), [asked.data, search.q]);
  const shown = asked.data?.policies.find((policy) => policy.name === search.policy);
  const number = (id: string, head: string, hint: string, of: (policy: Policy) => number): Column<Policy> => ({ id, head, hint, align: 'right', value: of, cell: (row) => count(of(row)) });
  const columns: readonly Column<Policy>[] = [
    {
      id: 'name',
      head: 'Policy',
      value: (row) => row.name,
      cell: (row) => (
        <Link to="/policies" search={{ ...search, policy: row.name }}>
          {row.name}
        </Link>
      ),
    },
    { id: 'mode', head: 'Mode', value: modeOf, cell: (row) => <State tone={TONES[modeOf(row)] ?? 'idle'}>{MODES[modeOf(row)] ?? modeOf(row)}</State> },
    { id: 'here', head: 'Applies here', value: here, cell: here },
    number('encrypted', 'Encrypted', 'Objects that it had stored encrypted, at this gateway', (row) => row.hits.encrypted),
    number('denied', 'Refused', 'Objects that it refused, at this gateway', (row) => row.hits.denied),
    number('would_encrypt', 'Would encrypt', 'What it would have encrypted, were it not in audit mode', (row) => row.hits.would_encrypt),
    number('would_deny', 'Would refuse', 'What it would have refused, were it not in audit mode', (row) => row.hits.would_deny),
    number('error', 'Errors', 'It could not be evaluated', (row) => row.hits.error),
  ];
  return (
    <Page title="Policies" lead="As Central sent them. They are written at Central; this gateway decides by them without asking.">
      <Stack gap="sm">
        <Panel title="What was received">
          {asked.data ? <Received of={asked.data} /> : asked.isError ? <Failure error={asked.error} again={() => void asked.refetch()} /> : <Loading what="policies" lines={4} />}
        </Panel>
        <div className="sg-panel">
          <DataTable
            what="policies"
            columns={columns}
            rows={rows}
            rowKey={(row) => row.uid}
            asked={asked}
            sort={search.sort}
            onSort={(sort) => void navigate({ search: { ...search, sort }, replace: true })}
            tools={<TextInput label="Policy" w={240} value={search.q ?? ''} onChange={(event) => void navigate({ search: { ...search, q: event.currentTarget.value || undefined }, replace: true })} />}
            empty={
              search.q === undefined ? (
                <Empty title="There is no policy">Only what a bucket’s switch, a client or the floor asks for is encrypted. Policies are written at Central.</Empty>
              ) : (
                <Empty title="No policy is called that">It may have been taken back at Central since. Take the filter out to see all policies.</Empty>
              )
            }
          />
        </div>
      </Stack>
      {search.policy !== undefined && asked.data && (
        <Drawer opened onClose={() => void navigate({ search: { ...search, policy: undefined } })} position="right" size={560} title={search.policy} closeButtonProps={{ 'aria-label': 'Close' }}>
          {shown ? <Detail of={shown} revision={asked.data.revision} /> : <Note tone="warn">This gateway holds no policy of that name. It may have been taken back at Central.</Note>}
        </Drawer>
      )}
    </Page>
  );
}

function Received({ of }: { readonly of: Policies }) {
  const none = of.revision === null || of.revision === undefined;
  return (
    <Pairs
      of={[
        ['Revision', none ? 'none yet' : count(of.revision ?? 0)],
        [
          'State',
          none ? (
            'nothing was received yet'
          ) : of.effective_revision === of.revision ? (
            <State key="effective" tone="good">
              effective: every write is decided by it
            </State>
          ) : (
            <State key="pending" tone="warn">
              writes that were decided by an older one are still under way
            </State>
          ),
        ],
        ['Received', <Time key="received" at={of.received} />],
        ['Labels of this gateway', <Labels key="labels" of={of.labels} />],
        ['Lineage', of.lineage ? <code key="lineage">{of.lineage}</code> : 'none yet'],
      ]}
    />
  );
}

function Detail({ of, revision }: { readonly of: Policy; readonly revision: number | null | undefined }) {
  return (
    <Stack gap="md">
      <Pairs
        of={[
          ['Mode', <State key="mode" tone={TONES[modeOf(of)] ?? 'idle'}>{MODES[modeOf(of)] ?? modeOf(of)}</State>],
          ['Applies here', here(of)],
          ['Revision', revision === null || revision === undefined ? 'none' : count(revision)],
          ['Encrypted', `${count(of.hits.encrypted)} objects`],
          ['Refused', `${count(of.hits.denied)} objects`],
          ['Would have encrypted', `${count(of.hits.would_encrypt)} objects`],
          ['Would have refused', `${count(of.hits.would_deny)} objects`],
          ['Could not be evaluated', `for ${count(of.hits.error)} objects`],
          ['ID', <code key="uid">{of.uid}</code>],
        ]}
      />
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard */}
      <pre className="sg-code sg-wrap" tabIndex={0} aria-label="The policy as it was received">
        {JSON.stringify(of.document, null, 2)}
      </pre>
    </Stack>
  );
}
