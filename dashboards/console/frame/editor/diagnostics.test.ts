import { Text } from '@codemirror/state';
import { expect, it } from 'vitest';

import { diagnosticOf } from './diagnostics';

const doc = Text.of(['spec:', '  efect: encrypt', '', '  # 🦭 x']);
const issue = (line: number, column: number) =>
  diagnosticOf(doc, { line, column, path: '', code: 'unknown-field', message: 'no', severity: 'error' });

it('marks the word at the place', () => {
  const { from, to } = issue(2, 3);
  expect(doc.sliceString(from, to)).toBe('efect');
});

it('stays inside the text wherever the place is', () => {
  expect(issue(99, 99)).toMatchObject({ from: doc.length, to: doc.length });
  expect(issue(0, 0)).toMatchObject({ from: 0 });
  expect(issue(3, 1)).toMatchObject({ from: 23, to: 23 });
});

it('counts characters as the service does', () => {
  const { from, to } = issue(4, 7);
  expect(doc.sliceString(from, to)).toBe('x');
});
