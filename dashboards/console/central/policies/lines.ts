import { diffLines } from 'diff';

/** A line of two texts that are compared. */
export interface Compared {
  readonly is: 'same' | 'added' | 'removed';
  readonly text: string;
}

/** Each text ends a line at its end, so that one more line below the last does not touch the last. */
const ended = (text: string): string => (text.endsWith('\n') ? text : `${text}\n`);

/** The lines of two texts: what stayed, what went, what came. */
export function compareLines(before: string, after: string): readonly Compared[] {
  return diffLines(ended(before), ended(after)).flatMap((part) => {
    const is = part.added ? 'added' : part.removed ? 'removed' : 'same';
    return part.value
      .slice(0, -1)
      .split('\n')
      .map((text): Compared => ({ is, text }));
  });
}
