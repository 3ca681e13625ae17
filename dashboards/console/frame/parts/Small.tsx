import type { ReactNode } from 'react';

interface SmallProps {
  /** What the rows are: its name where a page has several of the kind. */
  readonly what?: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly ReactNode[])[];
  /** From this column on, numbers. */
  readonly right?: number;
  readonly none: string;
}

/** A table of a few rows, which are all here. */
export function Small({ what, head, rows, right = Infinity, none }: SmallProps) {
  if (rows.length === 0) return <div className="sg-body">{none}</div>;
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard
    <div className="sg-table-scroll" role="region" aria-label={what ?? `Table of ${head.join(', ')}`} tabIndex={0}>
      <table className="sg-table">
        <thead>
          <tr>
            {head.map((one, column) => (
              <th key={one} scope="col" data-align={column >= right ? 'right' : undefined}>
                {one}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, line) => (
            <tr key={line}>
              {row.map((cell, column) => (
                <td key={head[column]} data-align={column >= right ? 'right' : undefined}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
