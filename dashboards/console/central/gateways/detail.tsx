import { Button, Stack } from '@mantine/core';
import { plural } from '@frame/format';
import { useAskEvery, useAskListEvery } from '@frame/live';
import type { Column } from '@frame/parts/DataTable';
import { Note, Shown } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { Labels, State, Tag } from '@frame/parts/State';
import { Lasting, Time, useNow } from '@frame/parts/Time';
import { may, session } from '@frame/session';
import { useStore } from '@frame/store';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';

import type { Schemas } from '../api';
import { convergenceQuery } from '../policies/data';
import { Behind } from './behind';
import { Counted, Traffic } from './counted';
import { eventsQuery, type Gateway, gatewayQuery, type Order, ordersIn, toneOfCertificate, toneOfConnection, toneOfState } from './data';
import { sentence } from './happened';
import { EditLabels } from './labels';
import { GiveOrder, VERBS } from './order';
import { gatewayRoute } from './route';

/** One gateway: what it is, what it holds, what lies behind it, what can be ordered. */
export function GatewayDetail() {
  const { name } = gatewayRoute.useParams();
  const asked = useQuery({ ...gatewayQuery(name), refetchInterval: useAskEvery() });
  const now = useStore(session);
  const [order, setOrder] = useState<Order | null>(null);
  const [labels, setLabels] = useState(false);
  const gateway = asked.data;
  const manages = may(now, 'manage-gateways');
  return (
    <Page
      title={name}
      crumbs={[{ title: 'Gateways', to: '/gateways' }]}
      actions={
        manages && gateway && gateway.state !== 'retired' ? (
          <>
            <Button variant="default" onClick={() => setLabels(true)}>
              Change labels
            </Button>
            {ordersIn(gateway.state).map((one) => (
              <Button key={one} variant="default" c={one === 'retire' ? 'var(--sg-bad)' : undefined} onClick={() => setOrder(one)}>
                {VERBS[one]}
              </Button>
            ))}
          </>
        ) : undefined
      }
    >
      <Shown of={asked} what="the gateway">
        {(one) => (
          <Stack gap="sm">
            <Troubles gateway={one} />
            <div className="sg-split">
              <Identity gateway={one} />
              <Policies gateway={one} />
            </div>
            <Behind gateway={one} />
            <Traffic name={one.name} />
            <Counted name={one.name} />
            <Happened name={one.name} />
          </Stack>
        )}
      </Shown>
      {order && gateway && <GiveOrder gateway={gateway} order={order} onClose={() => setOrder(null)} />}
      {labels && gateway && <EditLabels gateway={gateway} onClose={() => setLabels(false)} />}
    </Page>
  );
}

function Troubles({ gateway }: { readonly gateway: Gateway }) {
  const { refusal, clone } = gateway;
  return (
    <>
      {refusal && (
        <Note tone="bad" title={`It refuses policy revision ${refusal.revision}`}>
          <p>
            {refusal.reason} <Tag tone="bad">{refusal.code}</Tag> {refusal.item !== '' && <code>{refusal.item}</code>}
          </p>
          <p>
            {refusal.kept_revision === null || refusal.kept_revision === undefined
              ? 'It has no earlier revision to decide by.'
              : `It decides by revision ${refusal.kept_revision}, which it kept.`}{' '}
            Told <Time at={refusal.at} />.
          </p>
        </Note>
      )}
      {clone && (
        <Note tone="bad" title="Two machines use this gateway’s identity">
          <p>
            The known one calls from {gateway.address || 'an unknown address'}, the other from {clone.address || 'an unknown address'} (last heard <Time at={clone.at} />).
            Both go on serving clients. Stop the one that is the copy, then release the gateway.
          </p>
        </Note>
      )}
      {gateway.ahead_of_central && (
        <Note tone="bad" title="It holds a newer policy revision than Central has">
          Central was restored from an older backup. Policies cannot be changed until this is settled under Settings.
        </Note>
      )}
      {gateway.state === 'suspended' && (
        <Note tone="warn" title="It is suspended">
          Central refuses it. It serves its clients by the policies that it has.
        </Note>
      )}
    </>
  );
}

function Identity({ gateway }: { readonly gateway: Gateway }) {
  const now = useNow();
  const skew = Math.abs(gateway.clock_skew_ms);
  return (
    <Panel title="Gateway">
      <Pairs
        of={[
          ['State', <State key="state" tone={toneOfState(gateway.state)}>{gateway.state}</State>],
          ['In this state', <><Lasting since={gateway.state_since} />{gateway.state_because !== '' && `: ${gateway.state_because}`}</>],
          ['Connection', <State key="connection" tone={toneOfConnection(gateway)}>{gateway.connection}</State>],
          [gateway.connection === 'connected' ? 'Connected' : 'Last heard', gateway.connection === 'connected' && gateway.since ? <Lasting key="since" since={gateway.since} /> : <Time key="since" at={gateway.since} />],
          ['Labels', <Labels key="labels" of={gateway.labels} />],
          ['Version', gateway.version || 'not told yet'],
          ['Calls from', gateway.address || 'not heard yet'],
          ['Clock', skew < 1_000 ? 'agrees with Central’s' : <State key="clock" tone="warn">{(gateway.clock_skew_ms / 1_000).toFixed(1)} s from Central’s</State>],
          ['Certificate ends', <State key="certificate" tone={toneOfCertificate(gateway.certificate_not_after, now)}><Time at={gateway.certificate_not_after} never="none" /></State>],
          ['Enrolled', <Time key="enrolled" at={gateway.enrolled_at} />],
          ['Identity', <code key="id">{gateway.id}</code>],
        ]}
      />
    </Panel>
  );
}

function Policies({ gateway }: { readonly gateway: Gateway }) {
  const asked = useQuery({ ...convergenceQuery([gateway.name]), refetchInterval: useAskEvery() });
  const newest = Math.max(gateway.revision, asked.data?.revision ?? 0);
  const behind = gateway.effective_revision < newest;
  return (
    <Panel title="Policies" aside={<Link to="/revisions">Revisions</Link>}>
      <Pairs
        of={[
          ['Received', `revision ${gateway.revision}`],
          ['Applied', `revision ${gateway.applied_revision}`],
          ['Effective', behind ? <State key="behind" tone="warn">revision {gateway.effective_revision}, the newest is {newest}</State> : <State key="effective" tone="good">revision {gateway.effective_revision}</State>],
          ['Open uploads', gateway.uploads_open === 0 ? 'none begun under an older revision' : <>{plural(gateway.uploads_open, 'upload')} begun under an older revision, the oldest <Time at={gateway.oldest_upload} /></>],
          ['Lineage', gateway.lineage ? <code key="lineage">{gateway.lineage}</code> : 'none yet'],
        ]}
      />
    </Panel>
  );
}

const HAPPENED: readonly Column<Schemas['GatewayEvent']>[] = [
  { id: 'at', head: 'When', value: (row) => row.at, cell: (row) => <Time at={row.at} /> },
  {
    id: 'what',
    head: 'What',
    value: sentence,
    cell: (row) => (
      <State tone={row.kind === 'refused' ? 'bad' : row.kind === 'disconnected' ? 'warn' : 'idle'}>
        <span className="sg-sentence">{sentence(row)}</span>
      </State>
    ),
  },
];

function Happened({ name }: { readonly name: string }) {
  const events = useInfiniteQuery({ ...eventsQuery(name), refetchInterval: useAskListEvery() });
  return (
    <Panel title="What happened" flush aside={<span>of the last 30 days</span>}>
      <Shown of={events} what="what happened" lines={3}>
        {(answer) => (
          <>
            <Small
              what="events"
              columns={HAPPENED}
              rows={answer.pages.flatMap((page) => page.events)}
              rowKey={(row) => String(row.id)}
              none="Nothing happened to it within 30 days."
            />
            {events.hasNextPage && (
              <div className="sg-body">
                <Button variant="default" loading={events.isFetchingNextPage} onClick={() => void events.fetchNextPage()}>
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
