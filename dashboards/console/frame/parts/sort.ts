import type { Cell } from '../csv';

/** By which column, and whether the greatest comes first. In a URL: `name` or `-name`. */
export interface Sort {
  readonly by: string;
  readonly down: boolean;
}

/** As a URL has it. */
export function sortOf(text: string | undefined): Sort | undefined {
  if (text === undefined || text === '') return undefined;
  return text.startsWith('-') ? { by: text.slice(1), down: true } : { by: text, down: false };
}

/** For a URL. */
export const sortText = (sort: Sort): string => `${sort.down ? '-' : ''}${sort.by}`;

const words = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

/** The order of two cells; what is not there comes last, whichever way. */
export function compare(a: Cell, b: Cell, down: boolean): number {
  const gone = (cell: Cell) => cell === null || cell === undefined || cell === '';
  if (gone(a) || gone(b)) return Number(gone(a)) - Number(gone(b));
  const order = typeof a === 'number' && typeof b === 'number' ? a - b : words.compare(String(a), String(b));
  return down ? -order : order;
}

/** Of a page with several tables: the order of this one. In a URL: `table:name,other:-name`. */
export const orderOf = (text: string | undefined, table: string): string | undefined =>
  text
    ?.split(',')
    .find((one) => one.startsWith(`${table}:`))
    ?.slice(table.length + 1);

/** The same text with the order of this table, or without one. */
export function withOrder(text: string | undefined, table: string, order: string | undefined): string | undefined {
  const others = (text ?? '').split(',').filter((one) => one !== '' && !one.startsWith(`${table}:`));
  return [...others, ...(order === undefined ? [] : [`${table}:${order}`])].join(',') || undefined;
}
