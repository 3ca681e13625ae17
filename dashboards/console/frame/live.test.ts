import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { follow, isLong, live } from './live';

class Source extends EventTarget {
  static latest: Source;
  static readonly CLOSED = 2;
  onopen: (() => void) | undefined;
  onerror: (() => void) | undefined;
  static opened = 0;
  readyState = 1;

  constructor() {
    super();
    Source.latest = this;
    Source.opened += 1;
  }

  close() {
    this.readyState = Source.CLOSED;
  }
}

beforeEach(() => vi.stubGlobal('EventSource', Source));
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** A question whose answers are given by hand. */
function asked(queries: QueryClient, queryKey: readonly string[], also?: readonly string[]) {
  const answers: ((value: number) => void)[] = [];
  const queryFn = vi.fn(() => new Promise<number>((resolve) => answers.push(resolve)));
  const observer = new QueryObserver(queries, { queryKey, queryFn, ...(also && { meta: { also } }) });
  const leave = observer.subscribe(() => undefined);
  const answer = async (value: number) => {
    answers.shift()?.(value);
    await new Promise((resolve) => setTimeout(resolve, 0));
    await new Promise((resolve) => setTimeout(resolve, 0));
  };
  return { queryFn, answer, leave };
}

test('a hint makes what begins with its topic or names it be asked for anew, and nothing else', async () => {
  const queries = new QueryClient();
  const own = asked(queries, ['group', 'kms']);
  const named = asked(queries, ['statistics', 'buckets'], ['group']);
  const other = asked(queries, ['log']);
  const end = follow(queries, ['group', 'statistics', 'log']);
  for (const one of [own, named, other]) await one.answer(1);
  Source.latest.dispatchEvent(new Event('group'));
  expect([own, named, other].map((one) => one.queryFn.mock.calls.length)).toEqual([2, 2, 1]);
  end();
  [own, named, other].forEach((one) => one.leave());
});

test('hints that come faster than answers are taken as one further hint', async () => {
  const queries = new QueryClient();
  const one = asked(queries, ['statistics', 'overview']);
  const end = follow(queries, ['statistics']);
  await one.answer(1);
  for (let hint = 0; hint < 5; hint += 1) Source.latest.dispatchEvent(new Event('statistics'));
  expect(one.queryFn).toHaveBeenCalledTimes(2);
  await one.answer(2);
  expect(queries.getQueryData(['statistics', 'overview'])).toBe(2);
  await vi.waitFor(() => expect(one.queryFn).toHaveBeenCalledTimes(3), { timeout: 10_000 });
  await one.answer(3);
  expect(one.queryFn).toHaveBeenCalledTimes(3);
  end();
  one.leave();
});

test('a page that is hidden holds no connection, and asks for what it missed when it is seen again', async () => {
  const hide = (hidden: boolean) => {
    vi.spyOn(document, 'hidden', 'get').mockReturnValue(hidden);
    document.dispatchEvent(new Event('visibilitychange'));
  };
  const queries = new QueryClient();
  const one = asked(queries, ['statistics', 'overview']);
  await one.answer(1);
  const before = Source.opened;
  const end = follow(queries, ['statistics']);
  const first = Source.latest;
  hide(true);
  expect(first.readyState).toBe(Source.CLOSED);
  expect(live.get()).toBe('asking');
  hide(false);
  expect(Source.latest).not.toBe(first);
  Source.latest.onopen?.();
  expect(live.get()).toBe('live');
  expect(one.queryFn).toHaveBeenCalledTimes(2);
  // Seen already: one connection is enough.
  hide(false);
  expect(Source.opened - before).toBe(2);

  end();
  expect(Source.latest.readyState).toBe(Source.CLOSED);
  hide(false);
  expect(Source.opened - before).toBe(2);
  one.leave();
});

test('a list of many pages is not asked for with each hint', () => {
  const pages = (count: number) => ({ state: { data: { pages: Array.from({ length: count }, () => ({})) } } });
  expect(isLong(pages(3))).toBe(false);
  expect(isLong(pages(4))).toBe(true);
});

test('what is not there yet is not long', () => {
  expect(isLong({ state: { data: undefined } })).toBe(false);
});
