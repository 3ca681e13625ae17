import { expect, it } from 'vitest';

import type { BucketCoverage } from './data';
import { isUnlooked, known, knownBytes, sumsOf } from './sums';

const bucket = (objects: number, looked: boolean): BucketCoverage => ({
  storage_id: '7a1f5ad4-5b07-4a3c-9c4f-6a2f0f4f5f10',
  gateway: 'gateway-1',
  bucket: 'a',
  toggle: false,
  encrypting: false,
  differing: 0,
  because: '',
  kms_id: null,
  objects_encrypted: objects,
  objects_plain: objects,
  objects_unknown: looked ? objects : null,
  bytes_encrypted: objects * 10,
  bytes_plain: objects * 10,
  age_s: 1,
  looked_age_s: looked ? 1 : null,
});

it('says of a bucket that nobody looked through no number as if it were the truth', () => {
  expect(known(0, true)).toBe('not counted');
  expect(known(1_234, true)).toBe('at least 1,234');
  expect(known(0, false)).toBe('0');
  expect(knownBytes({ objects: 0, bytes: 0 }, true)).toBeUndefined();
  expect(knownBytes({ objects: 2, bytes: 2_048 }, true)).toBe('at least 2.0 KiB');
  expect(knownBytes({ objects: 1, bytes: 0 }, true)).toBe('at least 0 B');
  expect(knownBytes({ objects: 0, bytes: 0 }, false)).toBe('0 B');
});

it('adds up, and keeps how many were never looked through', () => {
  expect(sumsOf([bucket(2, true), bucket(3, false), bucket(5, true)])).toEqual({
    buckets: 3,
    unlooked: 1,
    encrypted: { objects: 10, bytes: 100 },
    plain: { objects: 10, bytes: 100 },
    unknown: 7,
  });
  expect(isUnlooked(bucket(3, false))).toBe(true);
  expect(isUnlooked(bucket(0, true))).toBe(false);
});
