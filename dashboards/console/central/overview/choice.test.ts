import { expect, it } from 'vitest';

import { effective, toggled } from './choice';

it('means all where none is checked and where all are', () => {
  expect(effective(['a', 'b'], [])).toEqual([]);
  expect(effective(['a', 'b'], ['b', 'a'])).toEqual([]);
  expect(effective(['a', 'b'], ['a'])).toEqual(['a']);
});

it('keeps a choice while the gateways are not known yet', () => {
  expect(effective([], ['a'])).toEqual(['a']);
});

it('checks and unchecks', () => {
  expect(toggled(['b'], 'a')).toEqual(['a', 'b']);
  expect(toggled(['a', 'b'], 'a')).toEqual(['b']);
});
