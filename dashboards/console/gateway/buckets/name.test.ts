import { describe, expect, it } from 'vitest';

import { breaksRule } from './name';

describe('the name of a bucket', () => {
  it('is one that S3 would take', () => {
    for (const name of ['abc', 'a.b-c', '1.2.3', '1.2.3.4.5', '9ab', 'x'.repeat(63)]) expect(breaksRule(name), name).toBeUndefined();
  });

  it('is told which rule it breaks', () => {
    for (const [name, rule] of [
      ['ab', '3 to 63'],
      ['x'.repeat(64), '3 to 63'],
      ['Abc', 'lower-case'],
      ['a_b', 'lower-case'],
      ['ab/c', 'lower-case'],
      ['-ab', 'begins and ends'],
      ['ab.', 'begins and ends'],
      ['a..b', 'two dots'],
      ['10.0.0.1', 'IP address'],
      ['xn--abc', 'for itself'],
      ['abc-s3alias', 'for itself'],
    ] as const) {
      expect(breaksRule(name), name).toContain(rule);
    }
  });
});
