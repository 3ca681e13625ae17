import { expect, it } from 'vitest';

import { nameIn } from './name';

it('finds the name where it stands', () => {
  expect(nameIn('kind: X\nmetadata:\n  description: my name: no\n\n  name: payroll-1 # why\nspec:\n  name: other\n')).toBe('payroll-1');
});

it('finds it in the forms that people write', () => {
  expect(nameIn('metadata: { name: "a-b", description: c }\nspec: {}\n')).toBe('a-b');
  expect(nameIn('{"kind":"X","metadata":{"description":"d","name":"json"},"spec":{}}')).toBe('json');
  expect(nameIn('metadata:\n  name: quoted\n')).toBe('quoted');
});

it('takes no other name for it', () => {
  expect(nameIn('spec:\n  name: other\n')).toBeUndefined();
  expect(nameIn('metadata:\n  description: x\nspec:\n  name: other\n')).toBeUndefined();
});
