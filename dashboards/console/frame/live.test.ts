import { expect, test } from 'vitest';

import { isLong } from './live';

test('a list of many pages is not asked for with each hint', () => {
  const pages = (count: number) => ({ state: { data: { pages: Array.from({ length: count }, () => ({})) } }, meta: undefined });
  expect(isLong(pages(3))).toBe(false);
  expect(isLong(pages(4))).toBe(true);
});

test('an answer says itself how many rows it has', () => {
  const of = (rows: number) => ({ state: { data: { by_gateway: Array.from({ length: rows }) } }, meta: { rows: (data: { by_gateway: unknown[] }) => data.by_gateway.length } });
  expect(isLong(of(1_000))).toBe(false);
  expect(isLong(of(1_001))).toBe(true);
});

test('what is not there yet is not long', () => {
  expect(isLong({ state: { data: undefined }, meta: undefined })).toBe(false);
});
