import { Button, SegmentedControl, Title } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { lazy, type ReactNode, Suspense, useId, useState } from 'react';

import { csv, save } from '../csv';
import { bytes, count, exact } from '../format';
import type { Line } from './Plot';

const Plot = lazy(async () => ({ default: (await import('./Plot')).Plot }));

interface Props {
  readonly title: string;
  /** Moments, Unix seconds, ascending. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  /** A value as its axis has it. */
  readonly format: (value: number) => string;
  /** What is counted, in the plural; absent: `format` says the unit. */
  readonly unit?: string;
  /** The time that is drawn, in words. */
  readonly range?: string;
  /** Under the title: what the figures are. */
  readonly note?: string;
  /** Where the rows behind the figures are. */
  readonly link?: ReactNode;
}

const sum = (line: Line) => line.values.reduce((all, value) => all + value, 0);

/** Lines over time and what they add up to; the same as a table, and as a file. */
export function Chart({ title, times, lines, format, unit, range, note, link }: Props) {
  const [view, setView] = useState('chart');
  const name = useId();
  const told = (value: number) => (unit === undefined ? format(value) : `${format(value)} ${unit}`);
  // What is short on the page is exact in its title.
  const total = (line: Line) => <span title={format === bytes ? `${count(sum(line))} bytes` : undefined}>{told(sum(line))}</span>;
  const download = () => {
    const rows = times.map((at, index) => [new Date(at * 1000).toISOString(), ...lines.map((line) => line.values[index])]);
    save(`sealgate-${title.toLowerCase().replaceAll(/\W+/g, '-')}.csv`, csv(['time', ...lines.map((line) => line.label)], rows));
  };
  return (
    <section className="sg-panel sg-chart" aria-labelledby={name}>
      <header>
        <Title order={2} id={name}>
          {title}
        </Title>
        {link}
        <SegmentedControl
          className="sg-no-print"
          size="xs"
          aria-label={`${title} as`}
          value={view}
          onChange={setView}
          data={[
            { value: 'chart', label: 'Chart' },
            { value: 'table', label: 'Table' },
          ]}
        />
      </header>
      <div className="sg-body">
        <ul className="sg-legend" aria-label={`${title}, sum over the range`}>
          <li className="sg-whole">Sum over {range === undefined ? 'the range' : `the ${range.toLowerCase()}`}:</li>
          {lines.map((line) => (
            <li key={line.label}>
              <i style={{ background: `var(${line.color})` }} aria-hidden />
              {line.label} <strong className="sg-figure">{total(line)}</strong>
            </li>
          ))}
        </ul>
        {view === 'chart' ? (
          <Suspense fallback={<div className="sg-plot" />}>
            <Plot title={title} times={times} lines={lines} format={format} />
          </Suspense>
        ) : (
          // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard
          <div className="sg-table-scroll sg-plot-table" role="region" aria-label={`${title}, table`} tabIndex={0}>
            <table className="sg-table">
              <thead>
                <tr>
                  <th scope="col">Time</th>
                  {lines.map((line) => (
                    <th scope="col" key={line.label} data-align="right">
                      {line.label}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {times.map((at, index) => (
                  <tr key={at}>
                    <td>{exact(at * 1000)}</td>
                    {lines.map((line) => (
                      <td key={line.label} data-align="right">
                        {format(line.values[index] ?? 0)}
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
              <tfoot>
                <tr>
                  <th scope="row">Sum</th>
                  {lines.map((line) => (
                    <td key={line.label} data-align="right">
                      {total(line)}
                    </td>
                  ))}
                </tr>
              </tfoot>
            </table>
          </div>
        )}
        <div className="sg-chart-foot">
          <span>{note}</span>
          <Button
            className="sg-no-print"
            flex="none"
            size="compact-xs"
            variant="subtle"
            leftSection={<IconDownload size={13} aria-hidden />}
            onClick={download}
          >
            CSV
          </Button>
        </div>
      </div>
    </section>
  );
}
