import { bytes, count, span } from '@frame/format';
import { Chart } from '@frame/parts/Chart';
import { Empty, Shown } from '@frame/parts/Note';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { seriesQuery } from './data';
import { type Range, RANGES } from './route';

/** What went through this gateway over time. */
export function Graphs({ range }: { readonly range: Range }) {
  const series = useQuery({ ...seriesQuery(RANGES[range]), placeholderData: keepPreviousData });
  return (
    <Shown of={series} what="graphs" lines={8}>
      {(now) => {
        if (now.points.length === 0) {
          return (
            <div className="sg-panel">
              <Empty title="There is nothing to draw yet">The gateway was just started. The first point comes within {span(now.step_s)}.</Empty>
            </div>
          );
        }
        const times = now.points.map((point) => Date.parse(point.at) / 1000);
        const of = (pick: (point: (typeof now.points)[number]) => number) => now.points.map(pick);
        const note = `A point is ${span(now.step_s)}.`;
        return (
          <div className="sg-charts">
            <Chart
              title="Data volume"
              note={note}
              times={times}
              format={bytes}
              link={<Link to="/buckets">Buckets</Link>}
              lines={[
                { label: 'From clients', values: of((point) => point.bytes_in), color: '--sg-line-1' },
                { label: 'To clients', values: of((point) => point.bytes_out), color: '--sg-line-2', dashed: true },
              ]}
            />
            <Chart
              title="Objects"
              note={note}
              times={times}
              format={count}
              link={<Link to="/buckets">Buckets</Link>}
              lines={[
                { label: 'From clients', values: of((point) => point.objects_in), color: '--sg-line-1' },
                { label: 'To clients', values: of((point) => point.objects_out), color: '--sg-line-2', dashed: true },
              ]}
            />
            <Chart
              title="Encrypted versus plain"
              note={`Objects stored. ${note}`}
              times={times}
              format={count}
              link={<Link to="/policies">Policies</Link>}
              lines={[
                { label: 'Encrypted', values: of((point) => point.objects_encrypted), color: '--sg-line-1' },
                { label: 'Plain', values: of((point) => point.objects_plain), color: '--sg-line-2', dashed: true },
              ]}
            />
            <Chart
              title="Refusals and errors"
              note={note}
              times={times}
              format={count}
              link={<Link to="/log">Log</Link>}
              lines={[
                { label: 'Refused by a policy', values: of((point) => point.denied), color: '--sg-line-3' },
                { label: 'Failed', values: of((point) => point.failed), color: '--sg-line-4' },
                { label: 'Errors of the storage', values: of((point) => point.upstream_errors), color: '--sg-line-2', dashed: true },
              ]}
            />
            <Chart
              title="KMS calls"
              note={`${note} Keys are kept for a while, so there are fewer calls than objects.`}
              times={times}
              format={count}
              link={<Link to="/kms">KMS</Link>}
              lines={[
                { label: 'Calls', values: of((point) => point.kms_calls), color: '--sg-line-3' },
                { label: 'Errors', values: of((point) => point.kms_errors), color: '--sg-line-4', dashed: true },
              ]}
            />
            <Chart
              title="Requests to the storage"
              note={note}
              times={times}
              format={count}
              link={<Link to="/backends">Backends</Link>}
              lines={[
                { label: 'Requests', values: of((point) => point.upstream_requests), color: '--sg-line-1' },
                { label: 'Errors', values: of((point) => point.upstream_errors), color: '--sg-line-4', dashed: true },
              ]}
            />
          </div>
        );
      }}
    </Shown>
  );
}
