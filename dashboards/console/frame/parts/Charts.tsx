import type { ReactNode } from 'react';

import { span } from '../format';
import { Chart } from './Chart';
import type { Line } from './Plot';

/** A drawing of what was counted, and what it draws of each point. */
export interface Graph<Point> {
  readonly title: string;
  readonly format: (value: number) => string;
  /** What is counted, in the plural; absent: `format` says the unit. */
  readonly unit?: string;
  /** What the figures are, where the title does not say it. */
  readonly note?: string;
  /** Where the rows behind the figures are. */
  readonly link: ReactNode;
  readonly lines: readonly (Omit<Line, 'values'> & { readonly of: (point: Point) => number })[];
}

interface Props<Point> {
  readonly points: readonly Point[];
  /** How long a point is, in seconds. */
  readonly step: number;
  /** The time that is drawn, in words. */
  readonly range: string;
  readonly graphs: readonly Graph<Point>[];
}

/** The same points, drawn side by side. */
export function Charts<Point extends { readonly at: string }>({ points, step, range, graphs }: Props<Point>) {
  const times = points.map((point) => Date.parse(point.at) / 1000);
  return (
    <div className="sg-charts">
      {graphs.map(({ title, format, unit, note, link, lines }) => (
        <Chart
          key={title}
          title={title}
          range={range}
          note={[note, `A point is ${span(step)}.`].join(' ').trim()}
          times={times}
          format={format}
          unit={unit}
          link={link}
          lines={lines.map(({ of, ...line }) => ({ ...line, values: points.map(of) }))}
        />
      ))}
    </div>
  );
}
