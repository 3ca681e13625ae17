import { expect, test } from 'vitest';

import { moment, questionOf } from './data';

const NOW = Date.UTC(2026, 10, 29, 16, 30, 40);

test('a span begins on the minute', () => {
  expect(questionOf({ since: '1h', actor: 'operator:ann' }, NOW)).toMatchObject({ actor: 'operator:ann', since: '2026-11-29T15:30:00.000Z' });
});

test('two moments are of the reader’s time zone', () => {
  const question = questionOf({ from: '2026-11-29T16:00', to: '2026-11-29T17:00' }, NOW);
  expect(question.since).toBe(new Date('2026-11-29T16:00').toISOString());
  expect(question.until).toBe(new Date('2026-11-29T17:00').toISOString());
});

test('what is no moment asks for nothing', () => {
  expect(moment('yesterday')).toBeUndefined();
  expect(moment(undefined)).toBeUndefined();
  expect(questionOf({}, NOW).since).toBeUndefined();
});
