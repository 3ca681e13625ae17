import { bytes, count } from '@frame/format';

import type { BucketCoverage } from './data';

/** Objects and their bytes. */
export interface Amount {
  readonly objects: number;
  readonly bytes: number;
}

/** What several buckets hold. */
export interface Sums {
  readonly buckets: number;
  /** Of which only what was seen passing is known: there may be any number of other objects. */
  readonly unlooked: number;
  readonly encrypted: Amount;
  readonly plain: Amount;
  /** Objects of which it could not be told, in the buckets that were looked through. */
  readonly unknown: number;
}

/** Whether a bucket was never looked through. */
export const isUnlooked = (row: Pick<BucketCoverage, 'objects_unknown'>): boolean => row.objects_unknown === null || row.objects_unknown === undefined;

/** A number as it is known: of what nobody counted, nothing, or what was seen at least. */
export const known = (value: number, least: boolean): string => (!least ? count(value) : value > 0 ? `at least ${count(value)}` : 'not counted');

/** The data of an amount, the same way; none where nobody counted the objects. */
export function knownBytes(amount: Amount, least: boolean): string | undefined {
  if (!least) return bytes(amount.bytes);
  return amount.objects > 0 ? `at least ${bytes(amount.bytes)}` : undefined;
}

/** Adds up. */
export function sumsOf(rows: readonly BucketCoverage[]): Sums {
  const sum = (of: (row: BucketCoverage) => number) => rows.reduce((all, row) => all + of(row), 0);
  return {
    buckets: rows.length,
    unlooked: rows.filter(isUnlooked).length,
    encrypted: { objects: sum((row) => row.objects_encrypted), bytes: sum((row) => row.bytes_encrypted) },
    plain: { objects: sum((row) => row.objects_plain), bytes: sum((row) => row.bytes_plain) },
    unknown: sum((row) => row.objects_unknown ?? 0),
  };
}

/** For order and export: what nobody counted is no number. */
export const counted = (value: number, row: Pick<BucketCoverage, 'objects_unknown'>): number | null => (isUnlooked(row) && value === 0 ? null : value);
