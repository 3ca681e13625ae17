import 'uplot/dist/uPlot.min.css';
import './plot.css';

import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useMemo, useRef } from 'react';
import UPlot from 'uplot';

import { bytes } from '../format';
import { printing } from '../printing';

/** One line of a chart. */
export interface Line {
  readonly label: string;
  /** One for each moment. */
  readonly values: readonly number[];
  /** Name of the token that colours it. */
  readonly color: `--sg-line-${1 | 2 | 3 | 4}`;
  /** Told apart without colour too. */
  readonly dashed?: boolean;
}

interface Props {
  readonly title: string;
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
}

const HEIGHT_PX = 190;

/** Steps of an axis of bytes: round in the units that they are written in. */
const BINARY = Array.from({ length: 6 }, (_, power) => [1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * 1024 ** power)).flat();

/** Steps of an axis of things that are counted whole. */
const WHOLE = Array.from({ length: 15 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** Beyond this, days say more than hours. */
const DAYS_S = 2 * 86_400;

/** Below this between two marks, minutes would repeat themselves. */
const SECONDS_S = 60;

const seconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const hours = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const days = new Intl.DateTimeFormat('en-GB', { day: '2-digit', month: 'short' });

/** The moments on the axis: their days where it is long or a day begins, otherwise their hours, finer where need be. */
function moments(marks: readonly number[], times: ArrayLike<number>): string[] {
  const long = (times[times.length - 1] ?? 0) - (times[0] ?? 0) > DAYS_S;
  const fine = (marks[1] ?? Infinity) - (marks[0] ?? 0) < SECONDS_S;
  return marks.map((mark) => {
    const date = new Date(mark * 1000);
    if (long || (date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0)) return days.format(date);
    return (fine ? seconds : hours).format(date);
  });
}

/** The drawing. What it shows stands in the legend above it and in the table behind it. */
export function Plot({ title, times, lines, format }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const scheme = useComputedColorScheme('light');
  const data = useMemo((): UPlot.AlignedData => [[...times], ...lines.map((line) => [...line.values])], [times, lines]);
  const shape = lines.map((line) => `${line.label}${line.color}`).join();
  const latest = useRef({ data, lines, format });
  useEffect(() => {
    latest.current = { data, lines, format };
  });

  useEffect(() => {
    const home = place.current;
    if (!home) return undefined;
    const token = (name: string) => getComputedStyle(home).getPropertyValue(name).trim();
    const font = `11px ${token('--sg-font') || 'sans-serif'}`;
    // Asked for at each drawing: on paper they are others.
    const axis = { stroke: () => token('--sg-quiet'), font, grid: { stroke: () => token('--sg-grid'), width: 1 }, ticks: { show: false } };
    const made = new UPlot(
      {
        width: home.clientWidth,
        height: HEIGHT_PX,
        // To the right: half of the last moment on the axis.
        padding: [10, 24, 0, 0],
        legend: { show: true, live: true },
        cursor: { drag: { x: false, y: false }, points: { size: 6 } },
        scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.08 : 1] } },
        axes: [
          { ...axis, size: 26, space: 72, values: (_plot, marks) => moments(marks, latest.current.data[0]) },
          { ...axis, size: 74, space: 34, incrs: latest.current.format === bytes ? BINARY : WHOLE, values: (_plot, marks) => marks.map((mark) => latest.current.format(mark)) },
        ],
        series: [
          { value: (_plot, at) => (typeof at === 'number' ? new Date(at * 1000).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' }) : '') },
          ...latest.current.lines.map((line) => ({
            label: line.label,
            stroke: () => token(line.color),
            width: 1.75,
            dash: line.dashed === true ? [6, 4] : undefined,
            fill: line.dashed === true ? undefined : () => `${token(line.color)}22`,
            points: { show: false },
            value: (_plot: UPlot, value: number | null) => (value === null ? '' : latest.current.format(value)),
          })),
        ],
      },
      latest.current.data,
      home,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => {
      if (home.clientWidth > 0) made.setSize({ width: home.clientWidth, height: HEIGHT_PX });
    });
    watch.observe(home);
    const again = () => made.redraw(false);
    const unfollow = printing.follow(again);
    return () => {
      unfollow();
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [scheme, shape]);

  useEffect(() => plot.current?.setData(data), [data]);

  return <div className="sg-plot" ref={place} role="img" aria-label={`${title}, drawn over time. The table shows the same.`} />;
}
