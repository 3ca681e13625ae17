import { Button, Stack } from '@mantine/core';
import { bytes, count, exact, plural, span } from '@frame/format';
import { useAskEvery, useAskListEvery } from '@frame/live';
import { Note, Shown } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { Labels, State, Tag } from '@frame/parts/State';
import { Time, useNow } from '@frame/parts/Time';
import { may, session } from '@frame/session';
import { useStore } from '@frame/store';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';

import { coverageQuery } from '../coverage/data';
import { figuresQuery, OUTCOMES } from '../figures/data';
import { inventoriesQuery } from '../overview/data';
import { countedQuery, eventsQuery, type Gateway, gatewayQuery, type Order, ordersIn, toneOfCertificate, toneOfConnection, toneOfState } from './data';
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
          ['In this state', <>since <Time at={gateway.state_since} />{gateway.state_because !== '' && `: ${gateway.state_because}`}</>],
          ['Connection', <State key="connection" tone={toneOfConnection(gateway)}>{gateway.connection}</State>],
          [gateway.connection === 'connected' ? 'Connected since' : 'Last heard', <Time key="since" at={gateway.since} />],
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
  const behind = gateway.effective_revision < gateway.revision;
  return (
    <Panel title="Policies" aside={<Link to="/revisions">Revisions</Link>}>
      <Pairs
        of={[
          ['Received', `revision ${gateway.revision}`],
          ['Applied', `revision ${gateway.applied_revision}`],
          ['Effective', behind ? <State key="behind" tone="warn">revision {gateway.effective_revision}</State> : <State key="effective" tone="good">revision {gateway.effective_revision}</State>],
          ['Open uploads', gateway.uploads_open === 0 ? 'none begun under an older revision' : <>{plural(gateway.uploads_open, 'upload')} begun under an older revision, the oldest <Time at={gateway.oldest_upload} /></>],
          ['Lineage', gateway.lineage ? <code key="lineage">{gateway.lineage}</code> : 'none yet'],
        ]}
      />
    </Panel>
  );
}

function Behind({ gateway }: { readonly gateway: Gateway }) {
  const every = useAskEvery();
  const inventories = useQuery({ ...inventoriesQuery([gateway.name]), refetchInterval: every });
  const coverage = useQuery({ ...coverageQuery([gateway.name]), refetchInterval: every });
  const inventory = inventories.data?.find((one) => one.storage_id === gateway.storage_id);
  const buckets = coverage.data?.coverage.filter((one) => one.storage_id === gateway.storage_id) ?? [];
  if (!inventory) {
    return (
      <Panel title="Storage">
        <Shown of={inventories} what="the storage">
          {() => <>Nothing has been told of its storage yet. A gateway looks at it soon after it has started.</>}
        </Shown>
      </Panel>
    );
  }
  return (
    <>
      <div className="sg-split">
        <Panel title="KMS" flush>
          <Small
            head={['KMS ID', 'Provider', 'State', 'Keys', 'Newest key']}
            rows={inventory.content.kms.map((kms) => [
              <>{kms.id} {kms.active && <Tag key="active" tone="accent">active</Tag>}</>,
              kms.provider,
              <State key="state" tone={kms.state === 'ok' ? 'good' : 'bad'}>{kms.state}</State>,
              count(kms.key_versions),
              kms.newest_key_ms > 0 ? exact(kms.newest_key_ms) : '–',
            ])}
            none="No KMS is set up at this gateway: it cannot encrypt."
          />
        </Panel>
        <Panel title="Backends" flush>
          <Small
            head={['Backend', 'Kind', 'Region', 'Buckets', 'Added']}
            rows={inventory.content.backends.map((backend) => [
              backend.name,
              backend.kind,
              backend.region || '–',
              count(backend.buckets),
              backend.added_ms > 0 ? exact(backend.added_ms) : '–',
            ])}
            none="It told no backend."
          />
        </Panel>
      </div>
      <Panel title="Buckets" flush aside={<span>as {inventory.gateway} saw them <Time at={inventory.taken_at} /></span>}>
        <Small
          head={['Bucket', 'New objects', 'Because of', 'Encrypted', 'Plain', 'Unknown', 'Encrypted data', 'Plain data']}
          right={3}
          rows={buckets.map((bucket) => [
            bucket.bucket,
            <State key="encrypting" tone={bucket.encrypting ? 'good' : 'idle'}>{bucket.encrypting ? 'all encrypted' : 'not all encrypted'}</State>,
            bucket.because || 'nothing',
            count(bucket.objects_encrypted),
            count(bucket.objects_plain),
            bucket.objects_unknown === null || bucket.objects_unknown === undefined ? 'not counted' : count(bucket.objects_unknown),
            bytes(bucket.bytes_encrypted),
            bytes(bucket.bytes_plain),
          ])}
          none="There is no bucket yet."
        />
      </Panel>
    </>
  );
}

function Traffic({ name }: { readonly name: string }) {
  const figures = useQuery({ ...figuresQuery({ by: 'outcome', gateway: [name] }), refetchInterval: useAskEvery() });
  return (
    <Panel title="Traffic" flush aside={<Link to="/figures" search={{ gateways: name, by: 'key' }}>All rows</Link>}>
      <Shown of={figures} what="traffic" lines={3}>
        {(answer) => (
          <Small
            head={['Outcome', 'Objects in', 'Data in', 'Objects out', 'Data out']}
            right={1}
            none="No client has stored or read anything through it."
            rows={answer.rows.map((row) => [
              <span key="outcome" title={OUTCOMES[row.outcome ?? '']}>{row.outcome}</span>,
              count(row.objects),
              bytes(row.bytes),
              count(row.objects_read),
              bytes(row.bytes_read),
            ])}
          />
        )}
      </Shown>
    </Panel>
  );
}

/** Results of requests to a storage, in words. */
const RESULTS: Readonly<Record<string, string>> = {
  ok: 'answered',
  client_error: 'refused by the storage',
  server_error: 'failed at the storage',
  unreachable: 'not reached',
  broken: 'broken off',
};

function Counted({ name }: { readonly name: string }) {
  const counted = useQuery({ ...countedQuery(name), refetchInterval: useAskEvery() });
  return (
    <>
      <div className="sg-split">
        <Panel title="Requests to its storage" flush>
          <Shown of={counted} what="requests to the storage" lines={3}>
            {({ upstreams }) => (
              <Small
                head={['Backend', 'Result', 'Requests', 'Data from it', 'Data to it']}
                right={2}
                none="It has not asked its storage for anything yet."
                rows={upstreams.map((row) => [
                  row.backend,
                  <State key="result" tone={row.result === 'ok' ? 'good' : row.result === 'client_error' ? 'warn' : 'bad'}>
                    {RESULTS[row.result] ?? row.result}
                  </State>,
                  count(row.requests),
                  bytes(row.bytes_in),
                  bytes(row.bytes_out),
                ])}
              />
            )}
          </Shown>
        </Panel>
        <Panel title="Calls to KMS" flush aside={<Link to="/kms" search={{ gateways: name }}>KMS</Link>}>
          <Shown of={counted} what="calls to KMS" lines={3}>
            {({ kms }) => (
              <Small
                head={['KMS ID', 'Operation', 'Result', 'Calls']}
                right={3}
                none="It has not called a KMS yet."
                rows={kms.map((row) => [row.kms, row.operation, <State key="result" tone={row.result === 'ok' ? 'good' : 'bad'}>{row.result}</State>, count(row.calls)])}
              />
            )}
          </Shown>
        </Panel>
      </div>
      <Panel title="Its reports">
        <Shown of={counted} what="how its reports came" lines={2}>
          {({ reports }) => (
            <Pairs
              of={[
                ['Last report', <Time key="last" at={reports.last_at} />],
                ['Figures are here up to', <Time key="covered" at={reports.covered_to} never="nothing yet" />],
                ['Missing', reports.missing === 0 ? 'none' : <State key="missing" tone="warn">{plural(reports.missing, 'report')}; the next full one brought their counts</State>],
                ['Came again', reports.replays === 0 ? 'none' : `${plural(reports.replays, 'report')}, counted once`],
                ['Nothing is known of', reports.unknown_ms === 0 ? 'no time' : <State key="unknown" tone="warn">{span(Math.ceil(reports.unknown_ms / 1_000))}, lost with power</State>],
              ]}
            />
          )}
        </Shown>
      </Panel>
    </>
  );
}

function Happened({ name }: { readonly name: string }) {
  const events = useInfiniteQuery({ ...eventsQuery(name), refetchInterval: useAskListEvery() });
  return (
    <Panel title="What happened" flush aside={<span>of the last 30 days</span>}>
      <Shown of={events} what="what happened" lines={3}>
        {(answer) => (
          <>
            <Small
              head={['When', 'What']}
              none="Nothing happened to it within 30 days."
              rows={answer.pages
                .flatMap((page) => page.events)
                .map((event) => [
                  <Time key="at" at={event.at} />,
                  <State key="what" tone={event.kind === 'refused' ? 'bad' : event.kind === 'disconnected' ? 'warn' : 'idle'}>
                    <span className="sg-sentence">{sentence(event)}</span>
                  </State>,
                ])}
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
