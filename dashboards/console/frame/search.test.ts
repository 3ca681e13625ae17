import { expect, it } from 'vitest';

import { flag, names, oneOf, text, whole } from './search';

it('takes what makes sense and leaves out the rest', () => {
  const raw = { q: 'eu', state: 'active', bad: 'nonsense', n: '12', minus: -1, on: true, list: 'a,,b', no: '' };
  expect(text(raw, 'q')).toBe('eu');
  expect(text(raw, 'no')).toBeUndefined();
  expect(oneOf(raw, 'state', ['active', 'retired'])).toBe('active');
  expect(oneOf(raw, 'bad', ['active', 'retired'])).toBeUndefined();
  expect(whole(raw, 'n')).toBe(12);
  expect(whole(raw, 'minus')).toBeUndefined();
  expect(whole(raw, 'no')).toBeUndefined();
  expect(flag(raw, 'on')).toBe(true);
  expect(flag(raw, 'q')).toBeUndefined();
  expect(names(raw, 'list')).toEqual(['a', 'b']);
  expect(names(raw, 'absent')).toEqual([]);
});

it('reads a name that looks like a number as a name', () => {
  expect(text({ q: 12 }, 'q')).toBe('12');
});
