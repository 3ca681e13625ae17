import { bytes, count, span } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Chart } from '@frame/parts/Chart';
import { Shown } from '@frame/parts/Note';
import { Way } from '@frame/parts/Way';
import { keepPreviousData, useQuery } from '@tanstack/react-query';

import { STORED } from '../figures/data';
import { seriesQuery } from './data';
import type { Range } from './route';

interface Props {
  readonly range: Range;
  readonly only: readonly string[];
}

/** What went through the gateways over time. */
export function Graphs({ range, only }: Props) {
  const series = useQuery({ ...seriesQuery(range, only), refetchInterval: useAskEvery(), placeholderData: keepPreviousData });
  const gateways = only.length > 0 ? only.join(',') : undefined;
  return (
    <Shown of={series} what="graphs" lines={8}>
      {(now) => {
        const times = now.points.map((point) => Date.parse(point.at) / 1000);
        const of = (pick: (point: (typeof now.points)[number]) => number) => now.points.map(pick);
        const note = `A point is ${span(now.step_s)}.`;
        const rows = (by: 'gateway' | 'bucket' | 'outcome', name: string, outcome?: string) => (
          <Way needs="read-gateways" to="/figures" search={{ by, gateways, outcome, since: range }}>
            Rows<span className="sg-hidden"> of {name}</span>
          </Way>
        );
        return (
          <div className="sg-charts">
            <Chart
              title="Data volume"
              note={note}
              times={times}
              format={bytes}
              link={rows('bucket', 'data volume', STORED)}
              lines={[
                { label: 'Towards the storage', values: of((point) => point.bytes_in), color: '--sg-line-1' },
                { label: 'Towards clients', values: of((point) => point.bytes_out), color: '--sg-line-2', dashed: true },
              ]}
            />
            <Chart
              title="Encrypted versus plain"
              note={note}
              times={times}
              format={bytes}
              link={rows('outcome', 'encrypted versus plain', STORED)}
              lines={[
                { label: 'Encrypted', values: of((point) => point.bytes_encrypted), color: '--sg-line-1' },
                { label: 'Plain', values: of((point) => point.bytes_plain), color: '--sg-line-2', dashed: true },
              ]}
            />
            <Chart
              title="Traffic in"
              note={`Objects from clients. ${note}`}
              times={times}
              format={count}
              link={rows('outcome', 'traffic in')}
              lines={[
                { label: 'Objects in', values: of((point) => point.objects_in), color: '--sg-line-1' },
                { label: 'Denied or failed', values: of((point) => point.denied + point.failed), color: '--sg-line-4', dashed: true },
              ]}
            />
            <Chart
              title="Traffic out"
              note={`Objects to clients. ${note}`}
              times={times}
              format={count}
              link={rows('gateway', 'traffic out', STORED)}
              lines={[{ label: 'Objects out', values: of((point) => point.objects_out), color: '--sg-line-1' }]}
            />
            <Chart
              title="KMS calls"
              note={`${note} Keys are kept for a while, so there are fewer calls than objects.`}
              times={times}
              format={count}
              link={
                <Way needs="read-gateways" to="/kms" search={{ gateways }}>
                  Calls, ever<span className="sg-hidden">, row by row</span>
                </Way>
              }
              lines={[
                { label: 'Calls', values: of((point) => point.kms_calls), color: '--sg-line-3' },
                { label: 'Errors', values: of((point) => point.kms_errors), color: '--sg-line-4', dashed: true },
              ]}
            />
          </div>
        );
      }}
    </Shown>
  );
}
