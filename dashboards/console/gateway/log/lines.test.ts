import { expect, test } from 'vitest';

import { contains, isChange, joined, type Line, MOST } from './lines';

const line = (number: number, message = 'request is answered', fields = {}): Line => ({ number, at: '2026-11-29T16:00:00Z', level: 'info', target: 'gateway::s3', message, fields });

test('later lines are added once, and no more are kept than the gateway keeps', () => {
  const first = joined(undefined, [line(1), line(2)], 2);
  const second = joined(first, [line(2), line(3)], 3);
  expect(second.lines.map((one) => one.number)).toEqual([1, 2, 3]);
  const many = joined(second, Array.from({ length: MOST }, (_, index) => line(index + 4)), MOST + 3);
  expect(many.lines).toHaveLength(MOST);
  expect(many.lines.at(-1)?.number).toBe(MOST + 3);
});

test('what is asked for next begins behind the newest line, or behind all that there was', () => {
  expect(joined(undefined, [line(41), line(42)]).reached).toBe(42);
  expect(joined(undefined, [line(41)], 57).reached).toBe(57);
});

test('a line is found by its message, its part and its fields', () => {
  const one = line(1, 'KMS is added', { kms: 'Main' });
  expect([contains(one, 'kms is'), contains(one, 'S3'), contains(one, 'kms=main'), contains(one, 'vault')]).toEqual([true, true, true, false]);
});

test('changes are the lines that tell of administration', () => {
  expect(isChange(line(1, 'administration request is answered', { actor: 'first start' }))).toBe(true);
  expect(isChange(line(2))).toBe(false);
});
