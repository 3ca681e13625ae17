import { expect, test } from 'vitest';

import { changed, type Credential, identitiesOf, lacking, lacks, told } from './data';

test('a grant is told in a line', () => {
  expect(told({ actions: ['read', 'list'], buckets: ['finance', 'hr-*'] })).toBe('read, list in finance, hr-*');
  expect(told({ actions: ['read', 'write', 'delete', 'list', 'manage'], buckets: ['*'] })).toBe('everything in every bucket');
});

test('a grant that names no bucket or no action cannot be sent', () => {
  expect(lacks([{ actions: ['read'], buckets: ['finance'] }])).toEqual({});
  expect(lacks([{ actions: ['read'], buckets: ['a'] }, { actions: [], buckets: [] }])).toEqual({ 1: { buckets: 'Which buckets?', actions: 'What may it do there?' } });
});

const credential: Credential = { access_key: 'SG1', name: 'app', admin: false, created: '2026-11-30T00:00:00Z', grants: [], identities: { store: 'app-there' } };

test('an identity keeps its secret for as long as its storage and access key stay', () => {
  const [known] = identitiesOf(credential);
  if (!known) throw new Error('it has one');
  expect(changed([known], credential)).toBeUndefined();
  expect(lacking([known], credential)).toEqual({});
  expect(lacking([{ ...known, accessKey: 'another' }], credential)).toEqual({ 0: { secretKey: 'It belongs to the access key' } });
  expect(lacking([known], undefined)).toEqual({ 0: { secretKey: 'It belongs to the access key' } });
  expect(changed([], credential)).toEqual({});
  expect(changed([known, { backend: 'second', accessKey: 'k', secretKey: 's' }], credential)).toEqual({ store: { access_key: 'app-there' }, second: { access_key: 'k', secret_key: 's' } });
});
