import { expect, test } from 'vitest';

import { sentence } from './happened';

test('each kind of event is a sentence', () => {
  expect(sentence({ kind: 'connected', detail: { address: '10.0.0.1:5', version: '0.1.0' } })).toBe('Connected from 10.0.0.1:5, version 0.1.0');
  expect(sentence({ kind: 'enrolled', detail: { address: 'a', version: '1', again: true } })).toBe('Enrolled again from a, version 1');
  expect(sentence({ kind: 'refused', detail: { revision: 7, reason: 'too new' } })).toBe('Refused revision 7: too new');
  expect(sentence({ kind: 'state', detail: { from: 'active', to: 'suspended', by: 'operator:ann', because: 'moved' } })).toBe('From active to suspended by operator:ann: moved');
  expect(sentence({ kind: 'labels', detail: { from: {}, to: { region: 'eu-1' }, by: 'operator:ann' } })).toBe('Labels from none to region=eu-1 by operator:ann');
});

test('an event that is not known is shown by its name', () => {
  expect(sentence({ kind: 'teleported', detail: null })).toBe('teleported');
});
