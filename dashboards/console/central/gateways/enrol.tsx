import { Button, Group, NumberInput, Select, Stack, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { count } from '@frame/format';
import { CopyText } from '@frame/parts/Copy';
import type { Column } from '@frame/parts/DataTable';
import { Note, Refused, Shown } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { Labels, State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { AskFirst } from '@frame/parts/Confirm';
import { atFields } from '@frame/problem';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type SyntheticEvent, useState } from 'react';

import { api, type Schemas } from '../api';
import { type LabelRow, LabelFields, labelsOf } from './fields';

const UNITS = { minutes: 60, hours: 3_600, days: 86_400 } as const;

type Unit = keyof typeof UNITS;

/** What a refusal can be about. */
const FIELDS = ['name', 'labels', 'ttl_seconds'] as const;

/** Makes a token of one use, and says what to do with it; then watches whether it is used. */
export function Enrol() {
  const [issued, setIssued] = useState<Schemas['TokenIssued'] | null>(null);
  return (
    <Page
      title="Enrol a gateway"
      crumbs={[{ title: 'Gateways', to: '/gateways' }]}
      lead="A token of one use carries Central’s address and the fingerprints of its authority. The gateway makes its own key; it never leaves it."
    >
      <Stack gap="sm">
        {issued ? <Use token={issued} again={() => setIssued(null)} /> : <Make onMade={setIssued} />}
        <Made />
      </Stack>
    </Page>
  );
}

/** A text that nobody else sends; browsers make UUIDs over TLS and on this machine only. */
const unique = (): string => Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join('');

function Make({ onMade }: { readonly onMade: (token: Schemas['TokenIssued']) => void }) {
  const [name, setName] = useState('');
  const [amount, setAmount] = useState<number | string>(1);
  const [unit, setUnit] = useState<Unit>('hours');
  const [rows, setRows] = useState<readonly LabelRow[]>([]);
  // The same request again, after an answer that was lost, is the same token.
  const [key] = useState(unique);
  const queries = useQueryClient();
  const making = useMutation({
    mutationFn: () =>
      read(
        api.POST('/api/v1/enrolment-tokens', {
          body: { name: name.trim() || null, ttl_seconds: Math.round(Number(amount) * UNITS[unit]), labels: labelsOf(rows) },
          headers: { 'Idempotency-Key': key },
        }),
      ),
    onSuccess: async (token) => {
      onMade(token);
      await queries.invalidateQueries({ queryKey: ['gateways', 'tokens'] });
    },
  });
  const wrong = atFields(making.error, FIELDS);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    making.mutate();
  };
  return (
    <Panel title="1. What the gateway is to be">
      <form onSubmit={submit}>
        <Stack gap="sm" maw={560}>
          <TextInput
            label="Name"
            description="Empty: the gateway proposes one. With the name of a known gateway, that one is enrolled again."
            placeholder="eu-1-a"
            error={wrong['name']}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <div>
            <p style={{ margin: '0 0 4px', fontWeight: 500 }}>Labels</p>
            <LabelFields rows={rows} onChange={setRows} error={wrong['labels']} />
          </div>
          <Group align="flex-end" gap="xs">
            <NumberInput label="The token holds for" w={130} min={1} max={90} error={wrong['ttl_seconds'] !== undefined} value={amount} onChange={setAmount} />
            <Select
              aria-label="Unit"
              w={120}
              allowDeselect={false}
              value={unit}
              data={Object.keys(UNITS)}
              onChange={(value) => setUnit((Object.keys(UNITS) as Unit[]).find((one) => one === value) ?? 'hours')}
            />
          </Group>
          {wrong['ttl_seconds'] !== undefined && <p className="sg-wrong">{wrong['ttl_seconds']}</p>}
          {making.isError && <Refused error={making.error} fields={FIELDS} />}
          <Group>
            <Button type="submit" loading={making.isPending}>
              Make the token
            </Button>
          </Group>
        </Stack>
      </form>
    </Panel>
  );
}

function Use({ token, again }: { readonly token: Schemas['TokenIssued']; readonly again: () => void }) {
  const tokens = useQuery({ ...tokensQuery(), refetchInterval: 2_000 });
  const used = tokens.data?.tokens.find((one) => one.id === token.id);
  return (
    <Panel title="2. Paste this on the gateway’s machine">
      <Stack gap="sm">
        {/* Not as an argument: those of a process are shown to everybody on its machine. */}
        <CopyText what="the command" value={`printf %s ${token.token} | sealgate-gateway enrol --token-file - --config /etc/sealgate/gateway.toml`} />
        <Note tone="warn">
          The token is shown this once. It can be used once, until <Time at={token.expires_at} />. Whoever has it can enrol a gateway.
        </Note>
        <Pairs of={[['Name', token.name ?? 'as the gateway proposes'], ['Labels', <Labels key="labels" of={token.labels} />]]} />
        {used?.used_by ? (
          <Note tone="good" title={`${used.used_by} is enrolled`} alert>
            <p>
              Start it with <code>sealgate-gateway run</code>. <Link to="/gateways/$name" params={{ name: used.used_by }}>Look at it</Link>
            </p>
          </Note>
        ) : (
          <Note>Waiting for the gateway. This page shows when it has enrolled; you can also leave it.</Note>
        )}
        <Group>
          <Button variant="default" onClick={again}>
            Make another
          </Button>
        </Group>
      </Stack>
    </Panel>
  );
}

const tokensQuery = () => ({
  queryKey: ['gateways', 'tokens'],
  queryFn: ({ signal }: { signal: AbortSignal }) => read(api.GET('/api/v1/enrolment-tokens', { signal })),
});

function Made() {
  const tokens = useQuery(tokensQuery());
  const [revoking, setRevoking] = useState<Schemas['Token'] | null>(null);
  const columns: readonly Column<Schemas['Token']>[] = [
    { id: 'for', line: true, head: 'For', value: (row) => row.name ?? 'any name', cell: (row) => row.name ?? 'any name' },
    { id: 'labels', head: 'Labels', value: (row) => Object.entries(row.labels).map(([key, value]) => `${key}=${value}`).join(' '), cell: (row) => <Labels of={row.labels} /> },
    { id: 'by', head: 'Made by', value: (row) => row.created_by, cell: (row) => row.created_by },
    { id: 'made', head: 'Made', value: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
    { id: 'state', head: 'State', value: life, cell: (row) => <Life token={row} /> },
    {
      id: 'actions',
      head: 'Change',
      cell: (row) =>
        open(row) && (
          <Button size="compact-xs" variant="default" onClick={() => setRevoking(row)}>
            Revoke<span className="sg-hidden"> the token for {row.name ?? 'any name'}</span>
          </Button>
        ),
    },
  ];
  return (
    <Panel title="Tokens that were made" flush>
      <Shown of={tokens} what="tokens" lines={3}>
        {({ tokens: all, truncated }) => (
          <>
            {truncated && (
              <div className="sg-body">
                <Note tone="warn">There are older tokens than these {count(all.length)}.</Note>
              </div>
            )}
            <Small what="enrolment tokens" columns={columns} rows={all} rowKey={(row) => row.id} none="No token was made yet." />
          </>
        )}
      </Shown>
      {revoking && <Revoke token={revoking} onClose={() => setRevoking(null)} />}
    </Panel>
  );
}

const open = (token: Schemas['Token']): boolean =>
  token.used_at === null && token.revoked_at === null && Date.parse(token.expires_at) > Date.now();

/** The state of a token in words, with its moment. */
function life(token: Schemas['Token']): string {
  if (token.revoked_at) return `revoked ${token.revoked_at}`;
  if (token.used_at) return `used by ${token.used_by ?? ''} ${token.used_at}`;
  return open(token) ? `open until ${token.expires_at}` : `expired ${token.expires_at}`;
}

function Life({ token }: { readonly token: Schemas['Token'] }) {
  if (token.revoked_at) return <State tone="idle">revoked</State>;
  if (token.used_at) {
    return (
      <State tone="good">
        used by {token.used_by} <Time at={token.used_at} />
      </State>
    );
  }
  if (!open(token)) return <State tone="idle">expired</State>;
  return (
    <State tone="warn">
      open, ends <Time at={token.expires_at} />
    </State>
  );
}

function Revoke({ token, onClose }: { readonly token: Schemas['Token']; readonly onClose: () => void }) {
  return (
    <AskFirst
      title="Revoke this token?"
      impact="Nobody can enrol a gateway with it any more. Gateways that are enrolled are not touched."
      verb="Revoke"
      danger
      act={() => read(api.DELETE('/api/v1/enrolment-tokens/{id}', { params: { path: { id: token.id } } }))}
      done="The token is revoked"
      stale={['gateways', 'tokens']}
      onClose={onClose}
    />
  );
}
