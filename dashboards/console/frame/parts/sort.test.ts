import { expect, it } from 'vitest';

import { compare, orderOf, sortOf, sortText, withOrder } from './sort';

it('reads and writes the order of a URL', () => {
  expect(sortOf('-name')).toEqual({ by: 'name', down: true });
  expect(sortOf('name')).toEqual({ by: 'name', down: false });
  expect(sortOf('')).toBeUndefined();
  expect(sortText({ by: 'name', down: true })).toBe('-name');
});

it('puts numbers by size, names as people count, and what is not there last either way', () => {
  expect([10, 9, null].toSorted((a, b) => compare(a, b, false))).toEqual([9, 10, null]);
  expect([10, 9, null].toSorted((a, b) => compare(a, b, true))).toEqual([10, 9, null]);
  expect(['gateway-10', 'gateway-9'].toSorted((a, b) => compare(a, b, false))).toEqual(['gateway-9', 'gateway-10']);
});

it('keeps the orders of several tables apart', () => {
  const both = withOrder(withOrder(undefined, 'buckets', '-plain'), 'kms', 'id');
  expect(both).toBe('buckets:-plain,kms:id');
  expect(orderOf(both, 'buckets')).toBe('-plain');
  expect(orderOf(both, 'ms')).toBeUndefined();
  expect(withOrder(both, 'buckets', undefined)).toBe('kms:id');
  expect(withOrder('kms:id', 'kms', undefined)).toBeUndefined();
});
