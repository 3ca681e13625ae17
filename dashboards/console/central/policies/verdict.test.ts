import { act, cleanup, renderHook } from '@testing-library/react';
import { afterEach, expect, it } from 'vitest';

import { type Checked, useVerdict } from './verdict';

afterEach(cleanup);

const MISTAKE: Checked = { line: 1, column: 1, path: '', code: 'unknown-field', message: 'There is no such field.', severity: 'error' };

/** A check whose answers are given by hand, in any order. */
function checking(text: string) {
  const asked: { readonly text: string; readonly answer: (found: readonly Checked[]) => void; readonly fail: (error: Error) => void }[] = [];
  const check = (of: string) => new Promise<readonly Checked[]>((answer, fail) => asked.push({ text: of, answer, fail }));
  const { result, rerender } = renderHook((now: string) => useVerdict(now, check), { initialProps: text });
  /** Begins a check, as the editor does; its outcome is awaited nowhere else. */
  const begin = (of: string) => act(() => void result.current[1](of).catch(() => undefined));
  const settle = (of: string, how: (one: (typeof asked)[number]) => void) =>
    act(async () => {
      asked.filter((one) => one.text === of).forEach(how);
      await Promise.resolve();
    });
  return { verdict: () => result.current[0], type: rerender, begin, settle };
}

it('is of the text that was checked, and forgotten with the next change', async () => {
  const one = checking('first');
  one.begin('first');
  await one.settle('first', ({ answer }) => answer([]));
  expect(one.verdict()).toEqual({ found: [] });
  one.type('second');
  expect(one.verdict()).toBeNull();
});

it('takes no answer about an earlier text, whichever comes last', async () => {
  const one = checking('first');
  one.begin('first');
  one.type('second');
  await one.settle('first', ({ answer }) => answer([]));
  expect(one.verdict()).toBeNull();

  one.begin('second');
  await one.settle('second', ({ answer }) => answer([MISTAKE]));
  one.begin('first');
  await one.settle('first', ({ answer }) => answer([]));
  expect(one.verdict()).toEqual({ found: [MISTAKE] });
});

it('says that the check failed, and nothing of the text', async () => {
  const one = checking('first');
  const failed = new Error('no answer');
  one.begin('first');
  await one.settle('first', ({ fail }) => fail(failed));
  expect(one.verdict()).toEqual({ failed });
});
