import { bytes, count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Charts, type Graph } from '@frame/parts/Charts';
import { Shown } from '@frame/parts/Note';
import { Way } from '@frame/parts/Way';
import { keepPreviousData, useQuery } from '@tanstack/react-query';

import type { Schemas } from '../api';
import { STORED } from '../figures/data';
import { seriesQuery } from './data';
import { NAMES, type Range } from './route';

interface Props {
  readonly range: Range;
  readonly only: readonly string[];
}

/** What is drawn, with the way to its rows. */
function graphs({ range, only }: Props): readonly Graph<Schemas['Point']>[] {
  const gateways = only.length > 0 ? only.join(',') : undefined;
  const rows = (by: 'gateway' | 'bucket' | 'outcome', name: string, outcome?: string) => (
    <Way needs="read-gateways" to="/figures" search={{ by, gateways, outcome, since: range }}>
      Rows<span className="sg-hidden"> of {name}</span>
    </Way>
  );
  return [
    {
      title: 'Data volume',
      format: bytes,
      link: rows('bucket', 'data volume', STORED),
      lines: [
        { label: 'Towards the storage', of: (point) => point.bytes_in, color: '--sg-line-1' },
        { label: 'Towards clients', of: (point) => point.bytes_out, color: '--sg-line-2', dashed: true },
      ],
    },
    {
      title: 'Encrypted versus plain',
      format: bytes,
      link: rows('outcome', 'encrypted versus plain', STORED),
      lines: [
        { label: 'Encrypted', of: (point) => point.bytes_encrypted, color: '--sg-line-1' },
        { label: 'Plain', of: (point) => point.bytes_plain, color: '--sg-line-2', dashed: true },
      ],
    },
    {
      title: 'Traffic in',
      note: 'Objects from clients.',
      format: count,
      unit: 'objects',
      link: rows('outcome', 'traffic in'),
      lines: [
        { label: 'Objects in', of: (point) => point.objects_in, color: '--sg-line-1' },
        { label: 'Denied or failed', of: (point) => point.denied + point.failed, color: '--sg-line-4', dashed: true },
      ],
    },
    {
      title: 'Traffic out',
      note: 'Objects to clients.',
      format: count,
      unit: 'objects',
      link: rows('gateway', 'traffic out', STORED),
      lines: [{ label: 'Objects out', of: (point) => point.objects_out, color: '--sg-line-1' }],
    },
    {
      title: 'KMS calls',
      note: 'Keys are kept for a while, so there are fewer calls than objects.',
      format: count,
      unit: 'calls',
      link: (
        <Way needs="read-gateways" to="/kms" search={{ gateways }}>
          Calls, ever<span className="sg-hidden">, row by row</span>
        </Way>
      ),
      lines: [
        { label: 'Calls', of: (point) => point.kms_calls, color: '--sg-line-3' },
        { label: 'Errors', of: (point) => point.kms_errors, color: '--sg-line-4', dashed: true },
      ],
    },
  ];
}

/** What went through the gateways over time. */
export function Graphs({ range, only }: Props) {
  const series = useQuery({ ...seriesQuery(range, only), refetchInterval: useAskEvery(), placeholderData: keepPreviousData });
  return (
    <Shown of={series} what="graphs" lines={8}>
      {(now) => <Charts points={now.points} step={now.step_s} range={NAMES[range]} graphs={graphs({ range, only })} />}
    </Shown>
  );
}
