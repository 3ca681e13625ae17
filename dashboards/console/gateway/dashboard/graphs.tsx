import { bytes, count, span } from '@frame/format';
import { Charts, type Graph } from '@frame/parts/Charts';
import { Empty, Note, Shown } from '@frame/parts/Note';
import { Time, useNow } from '@frame/parts/Time';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import type { Schemas } from '../api';
import { seriesQuery } from './data';
import { NAMES, type Range, RANGES } from './route';

const GRAPHS: readonly Graph<Schemas['SeriesPoint']>[] = [
  {
    title: 'Data volume',
    format: bytes,
    link: <Link to="/buckets">Buckets</Link>,
    lines: [
      { label: 'From clients', of: (point) => point.bytes_in, color: '--sg-line-1' },
      { label: 'To clients', of: (point) => point.bytes_out, color: '--sg-line-2', dashed: true },
    ],
  },
  {
    title: 'Objects',
    format: count,
    unit: 'objects',
    link: <Link to="/buckets">Buckets</Link>,
    lines: [
      { label: 'From clients', of: (point) => point.objects_in, color: '--sg-line-1' },
      { label: 'To clients', of: (point) => point.objects_out, color: '--sg-line-2', dashed: true },
    ],
  },
  {
    title: 'Encrypted versus plain',
    note: 'Objects stored.',
    format: count,
    unit: 'objects',
    link: <Link to="/policies">Policies</Link>,
    lines: [
      { label: 'Encrypted', of: (point) => point.objects_encrypted, color: '--sg-line-1' },
      { label: 'Plain', of: (point) => point.objects_plain, color: '--sg-line-2', dashed: true },
    ],
  },
  {
    title: 'Refusals and errors',
    format: count,
    link: <Link to="/log">Log</Link>,
    lines: [
      { label: 'Objects refused by a policy', of: (point) => point.denied, color: '--sg-line-3' },
      { label: 'Objects that failed', of: (point) => point.failed, color: '--sg-line-4' },
      { label: 'Errors of the storage', of: (point) => point.upstream_errors, color: '--sg-line-2', dashed: true },
    ],
  },
  {
    title: 'KMS calls',
    note: 'Keys are kept for a while, so there are fewer calls than objects.',
    format: count,
    unit: 'calls',
    link: <Link to="/kms">KMS</Link>,
    lines: [
      { label: 'Calls', of: (point) => point.kms_calls, color: '--sg-line-3' },
      { label: 'Errors', of: (point) => point.kms_errors, color: '--sg-line-4', dashed: true },
    ],
  },
  {
    title: 'Requests to the storage',
    format: count,
    unit: 'requests',
    link: <Link to="/backends">Backends</Link>,
    lines: [
      { label: 'Requests', of: (point) => point.upstream_requests, color: '--sg-line-1' },
      { label: 'Errors', of: (point) => point.upstream_errors, color: '--sg-line-4', dashed: true },
    ],
  },
];

/** What went through this gateway over time. */
export function Graphs({ range }: { readonly range: Range }) {
  const series = useQuery({ ...seriesQuery(RANGES[range]), placeholderData: keepPreviousData });
  const clock = useNow();
  return (
    <Shown of={series} what="graphs" lines={8}>
      {(now) => {
        if (now.points.length === 0) {
          return (
            <div className="sg-panel">
              <Empty title="There is nothing to draw yet">
                This gateway was started <Time at={now.begun} />, and draws what came since. A point of this range comes each {span(now.step_s)}.
              </Empty>
            </div>
          );
        }
        const whole = clock - Date.parse(now.begun) >= RANGES[range] * 60_000;
        return (
          <>
            {!whole && (
              <Note>
                <p>
                  There are figures since <Time at={now.begun} />, when this gateway was started: it keeps two days of them, and begins anew with each start. Central keeps what every gateway reported.
                </p>
              </Note>
            )}
            <Charts points={now.points} step={now.step_s} range={NAMES[range]} graphs={GRAPHS} />
          </>
        );
      }}
    </Shown>
  );
}
