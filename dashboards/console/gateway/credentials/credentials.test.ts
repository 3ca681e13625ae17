import { expect, test } from 'vitest';

import { lacks, told } from './data';

test('a grant is told in a line', () => {
  expect(told({ actions: ['read', 'list'], buckets: ['finance', 'hr-*'] })).toBe('read, list in finance, hr-*');
  expect(told({ actions: ['read', 'write', 'delete', 'list', 'manage'], buckets: ['*'] })).toBe('everything in every bucket');
});

test('a grant that names no bucket or no action cannot be sent', () => {
  expect(lacks([{ actions: ['read'], buckets: ['finance'] }])).toEqual({});
  expect(lacks([{ actions: ['read'], buckets: ['a'] }, { actions: [], buckets: [] }])).toEqual({ 1: { buckets: 'Which buckets?', actions: 'What may it do there?' } });
});
