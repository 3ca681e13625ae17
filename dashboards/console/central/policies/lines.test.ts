import { expect, it } from 'vitest';

import { compareLines } from './lines';

const told = (before: string, after: string) =>
  compareLines(before, after).map((line) => `${{ same: ' ', added: '+', removed: '-' }[line.is]}${line.text}`);

it('shows what went and what came, in the order of the text', () => {
  expect(told('a\nb\nc', 'a\nx\nc\nd')).toEqual([' a', '-b', '+x', ' c', '+d']);
});

it('shows nothing changed where nothing is', () => {
  expect(told('a\nb', 'a\nb')).toEqual([' a', ' b']);
});

it('makes the one text from the lines that stay and came, and the other from those that stayed and went', () => {
  const [before, after] = ['one\ntwo\nthree\ntwo', 'two\nthree\nfour\ntwo\nfive'];
  const lines = compareLines(before, after);
  expect(lines.filter((line) => line.is !== 'added').map((line) => line.text).join('\n')).toBe(before);
  expect(lines.filter((line) => line.is !== 'removed').map((line) => line.text).join('\n')).toBe(after);
});
