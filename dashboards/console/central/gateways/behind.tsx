import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import type { Column } from '@frame/parts/DataTable';
import { Kept, Note, Shown } from '@frame/parts/Note';
import { Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { State } from '@frame/parts/State';
import { Moment, moment, Time } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { type BucketCoverage, coverageQuery } from '../coverage/data';
import { counted, isUnlooked, known, knownBytes } from '../coverage/sums';
import { KMS_COLUMNS } from '../kms/columns';
import { type Backend, inventoriesQuery } from '../overview/data';
import type { Gateway } from './data';


const BACKENDS: readonly Column<Backend>[] = [
  { id: 'name', head: 'Backend', value: (row) => row.name, cell: (row) => row.name },
  { id: 'kind', head: 'Kind', value: (row) => row.kind, cell: (row) => row.kind },
  { id: 'region', head: 'Region', value: (row) => row.region, cell: (row) => row.region || '–' },
  { id: 'buckets', head: 'Buckets', align: 'right', value: (row) => row.buckets, cell: (row) => count(row.buckets) },
  { id: 'added', head: 'Added', hint: 'When Central first heard of it', value: (row) => moment(row.added_ms), cell: (row) => <Moment ms={row.added_ms} /> },
];

/** What becomes of new objects of a bucket, by whichever gateway of the storage they come. */
function newObjects(bucket: BucketCoverage): string {
  if (bucket.encrypting) return 'all encrypted';
  return bucket.because === '' || bucket.differing === 0 ? 'not all encrypted' : 'not all: gateways differ';
}

const data = (id: 'encrypted' | 'plain', head: string): Column<BucketCoverage> => ({
  id: `bytes_${id}`,
  head,
  align: 'right',
  value: (row) => counted(row[`bytes_${id}`], row),
  cell: (row) => (
    <span title={`${count(row[`bytes_${id}`])} bytes`}>{knownBytes({ objects: row[`objects_${id}`], bytes: row[`bytes_${id}`] }, isUnlooked(row)) ?? '–'}</span>
  ),
});

const BUCKETS: readonly Column<BucketCoverage>[] = [
  { id: 'bucket', line: true, head: 'Bucket', value: (row) => row.bucket, cell: (row) => row.bucket },
  { id: 'new', head: 'New objects', value: newObjects, cell: (row) => <State tone={row.encrypting ? 'good' : 'warn'}>{newObjects(row)}</State> },
  { id: 'because', line: true, head: 'Because of', value: (row) => row.because, cell: (row) => row.because || 'nothing' },
  { id: 'encrypted', head: 'Encrypted', align: 'right', value: (row) => counted(row.objects_encrypted, row), cell: (row) => known(row.objects_encrypted, isUnlooked(row)) },
  { id: 'plain', head: 'Plain', align: 'right', value: (row) => counted(row.objects_plain, row), cell: (row) => known(row.objects_plain, isUnlooked(row)) },
  { id: 'unknown', head: 'Unknown', align: 'right', value: (row) => row.objects_unknown, cell: (row) => known(row.objects_unknown ?? 0, isUnlooked(row)) },
  data('encrypted', 'Encrypted data'),
  data('plain', 'Plain data'),
];

/** What lies behind a gateway: KMS, backends, buckets. */
export function Behind({ gateway }: { readonly gateway: Gateway }) {
  const every = useAskEvery();
  const inventories = useQuery({ ...inventoriesQuery([gateway.name]), refetchInterval: every });
  const coverage = useQuery({ ...coverageQuery([gateway.name]), refetchInterval: every });
  const inventory = inventories.data?.inventories.find((one) => one.storage_id === gateway.storage_id);
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
      <Kept of={inventories} />
      <div className="sg-split">
        <Panel title="KMS" flush>
          <Small what="KMS" columns={KMS_COLUMNS} rows={inventory.content.kms} rowKey={(row) => row.id} none="No KMS is set up at this gateway: it cannot encrypt." />
        </Panel>
        <Panel title="Backends" flush>
          <Small what="backends" columns={BACKENDS} rows={inventory.content.backends} rowKey={(row) => row.name} none="It told no backend." />
        </Panel>
      </div>
      <Panel title="Buckets" flush aside={<span>as {inventory.gateway} saw them <Time at={inventory.taken_at} /></span>}>
        <Shown of={coverage} what="buckets" lines={3}>
          {(answer) => (
            <>
              {answer.truncated && (
                <div className="sg-body">
                  <Note tone="warn">
                    <p>
                      There are more than {count(answer.coverage.length)} buckets; these are the first of them.{' '}
                      <Link to="/coverage" search={{ gateways: gateway.name }}>
                        The coverage
                      </Link>{' '}
                      can be narrowed down by name.
                    </p>
                  </Note>
                </div>
              )}
              <Small
                what="buckets"
                columns={BUCKETS}
                rows={answer.coverage.filter((one) => one.storage_id === gateway.storage_id)}
                rowKey={(row) => row.bucket}
                none={answer.truncated ? 'None of these is of this storage.' : 'There is no bucket yet.'}
              />
            </>
          )}
        </Shown>
      </Panel>
    </>
  );
}
