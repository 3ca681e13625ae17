import { describe, expect, it } from 'vitest';

import { isGood, wrong } from './passphrase';

describe('a passphrase that is typed twice', () => {
  it('is good when it is long enough and the same', () => {
    expect(isGood({ first: 'twelve bytes', again: 'twelve bytes' })).toBe(true);
    expect(isGood({ first: 'eleven byte', again: 'eleven byte' })).toBe(false);
    expect(isGood({ first: 'twelve bytes', again: 'twelve byte' })).toBe(false);
    // The service counts bytes.
    expect(isGood({ first: 'üüüüüü', again: 'üüüüüü' })).toBe(true);
  });

  it('says what is wrong at the field, and nothing before something is typed', () => {
    expect(wrong({ first: '', again: '' })).toEqual({});
    expect(wrong({ first: 'short', again: '' })).toEqual({ first: 'At least 12 characters.' });
    expect(wrong({ first: 'long enough, this', again: 'other' })).toEqual({ again: 'This is not the same.' });
  });
});
