import { bytes, count, plural, span } from '@frame/format';
import { useAskEvery } from '@frame/live';
import type { Column } from '@frame/parts/DataTable';
import { Shown } from '@frame/parts/Note';
import { Pairs, Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import type { Schemas } from '../api';
import { figuresQuery, OUTCOMES, type Row } from '../figures/data';
import { countedQuery } from './data';

const data = <T,>(id: string, head: string, of: (row: T) => number): Column<T> => ({
  id,
  head,
  align: 'right',
  value: of,
  cell: (row) => <span title={`${count(of(row))} bytes`}>{bytes(of(row))}</span>,
});

const TRAFFIC: readonly Column<Row>[] = [
  { id: 'outcome', line: true, head: 'Outcome', value: (row) => row.outcome, cell: (row) => <span title={OUTCOMES[row.outcome ?? '']}>{row.outcome}</span> },
  { id: 'objects', head: 'Objects in', align: 'right', value: (row) => row.objects, cell: (row) => count(row.objects) },
  data('bytes', 'Data in', (row) => row.bytes),
  { id: 'objects_read', head: 'Objects out', align: 'right', value: (row) => row.objects_read, cell: (row) => count(row.objects_read) },
  data('bytes_read', 'Data out', (row) => row.bytes_read),
];

/** What went through it. */
export function Traffic({ name }: { readonly name: string }) {
  const figures = useQuery({ ...figuresQuery({ by: 'outcome', gateway: [name] }), refetchInterval: useAskEvery() });
  return (
    <Panel title="Traffic" flush aside={<Link to="/figures" search={{ gateways: name, by: 'key' }}>All rows</Link>}>
      <Shown of={figures} what="traffic" lines={3}>
        {(answer) => <Small what="traffic" columns={TRAFFIC} rows={answer.rows} rowKey={(row) => row.outcome ?? ''} none="No client has stored or read anything through it." />}
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

type Upstream = Schemas['UpstreamRow'];
type Call = Schemas['KmsRow'];

const UPSTREAMS: readonly Column<Upstream>[] = [
  { id: 'backend', head: 'Backend', value: (row) => row.backend, cell: (row) => row.backend },
  {
    id: 'result',
    head: 'Result',
    value: (row) => RESULTS[row.result] ?? row.result,
    cell: (row) => <State tone={row.result === 'ok' ? 'good' : row.result === 'client_error' ? 'warn' : 'bad'}>{RESULTS[row.result] ?? row.result}</State>,
  },
  { id: 'requests', head: 'Requests', align: 'right', value: (row) => row.requests, cell: (row) => count(row.requests) },
  data('in', 'Data from it', (row) => row.bytes_in),
  data('out', 'Data to it', (row) => row.bytes_out),
];

const CALLS: readonly Column<Call>[] = [
  { id: 'kms', head: 'KMS ID', value: (row) => row.kms, cell: (row) => row.kms },
  { id: 'operation', head: 'Operation', value: (row) => row.operation, cell: (row) => row.operation },
  { id: 'result', head: 'Result', value: (row) => row.result, cell: (row) => <State tone={row.result === 'ok' ? 'good' : 'bad'}>{row.result}</State> },
  { id: 'calls', head: 'Calls', align: 'right', value: (row) => row.calls, cell: (row) => count(row.calls) },
];

/** What it counted besides, and how its reports came. */
export function Counted({ name }: { readonly name: string }) {
  const counted = useQuery({ ...countedQuery(name), refetchInterval: useAskEvery() });
  return (
    <>
      <div className="sg-split">
        <Panel title="Requests to its storage" flush>
          <Shown of={counted} what="requests to the storage" lines={3}>
            {({ upstreams }) => (
              <Small what="requests" columns={UPSTREAMS} rows={upstreams} rowKey={(row) => `${row.backend} ${row.result}`} none="It has not asked its storage for anything yet." />
            )}
          </Shown>
        </Panel>
        <Panel title="Calls to KMS" flush aside={<Link to="/kms" search={{ gateways: name }}>KMS</Link>}>
          <Shown of={counted} what="calls to KMS" lines={3}>
            {({ kms }) => <Small what="calls" columns={CALLS} rows={kms} rowKey={(row) => [row.kms, row.operation, row.result].join(' ')} none="It has not called a KMS yet." />}
          </Shown>
        </Panel>
      </div>
      <Panel title="Its reports">
        <Shown of={counted} what="how its reports came" lines={2}>
          {({ reports }) => (
            <Pairs
              of={[
                ['Last report', <Time key="last" at={reports.last_at} />],
                ['Figures up to', <Time key="covered" at={reports.covered_to} never="nothing yet" />],
                ['Missing', reports.missing === 0 ? 'none' : <State key="missing" tone="warn">{plural(reports.missing, 'report')}; the next full one brought their counts</State>],
                ['Received twice', reports.replays === 0 ? 'none' : `${plural(reports.replays, 'report')}, counted once`],
                ['Time without figures', reports.unknown_ms === 0 ? 'none' : <State key="unknown" tone="warn">{span(Math.ceil(reports.unknown_ms / 1_000))}, lost with power</State>],
              ]}
            />
          )}
        </Shown>
      </Panel>
    </>
  );
}
