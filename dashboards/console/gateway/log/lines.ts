import type { Schemas } from '../api';

/** A line of the log. */
export type Line = Schemas['LogLine'];

/** What was kept of the log so far, and up to which line it reaches. */
export interface Kept {
  readonly lines: readonly Line[];
  /** The number of the newest line that was asked for. */
  readonly reached: number;
}

/** As many as the gateway itself keeps. */
export const MOST = 2_000;

/** How a line begins that tells of a change by an administrator, as the gateway writes it. */
const CHANGE = 'administration request is answered';

/** Adds what came since. `last` is the newest line there is, where everything up to it came along. */
export function joined(before: Kept | undefined, lines: readonly Line[], last?: number): Kept {
  const old = before?.lines ?? [];
  const newest = old.at(-1)?.number ?? 0;
  const all = [...old, ...lines.filter((line) => line.number > newest)];
  return { lines: all.slice(-MOST), reached: last ?? all.at(-1)?.number ?? 0 };
}

/** What a line came with, as `name=value`. */
export const fieldsOf = (line: Line): readonly (readonly [name: string, value: string])[] => Object.entries(line.fields).map(([name, value]) => [name, String(value)]);

/** Whether a line tells who changed what. */
export const isChange = (line: Line): boolean => line.message === CHANGE;

/** Whether a line contains a text, wherever. */
export function contains(line: Line, text: string): boolean {
  const whole = `${line.message} ${line.target} ${fieldsOf(line)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')}`;
  return whole.toLowerCase().includes(text.toLowerCase());
}
