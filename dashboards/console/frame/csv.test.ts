import { expect, it } from 'vitest';

import { csv } from './csv';

it('quotes what would break a row', () => {
  expect(csv(['a', 'b'], [['x,y', 'say "no"'], ['two\nlines', null]])).toBe(
    'a,b\r\n"x,y","say ""no"""\r\n"two\nlines",\r\n',
  );
});

it('keeps a spreadsheet from executing a name', () => {
  expect(csv(['key'], [['=HYPERLINK("x")'], ['-1+2'], [-5]])).toBe('key\r\n"\'=HYPERLINK(""x"")"\r\n\'-1+2\r\n-5\r\n');
});
