import { expect, test } from 'vitest';

import { atFields, isAtFields, problemOf } from './problem';

const refusal = problemOf(400, {
  title: 'The request is malformed',
  detail: 'No.',
  code: 'invalid',
  errors: [
    { line: 0, column: 0, path: 'name', code: 'invalid', message: 'too long' },
    { line: 1, column: 9, path: 'object.key', code: 'invalid', message: 'empty' },
  ],
});

test('each field is told what is wrong with it', () => {
  expect(atFields(refusal, ['name', 'object.key', 'role'])).toEqual({ name: 'too long', 'object.key': 'empty' });
  expect(atFields(new Error('no problem'), ['name'])).toEqual({});
});

test('a refusal is said under the form where a field does not say it', () => {
  expect(isAtFields(refusal, ['name', 'object.key'])).toBe(true);
  expect(isAtFields(refusal, ['name'])).toBe(false);
  expect(isAtFields(problemOf(409, { detail: 'No.' }), ['name'])).toBe(false);
});
