import { expect, it } from 'vitest';

import { compare, sortOf, sortText } from './sort';

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
