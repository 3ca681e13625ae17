import { beforeAll, beforeEach, expect, it } from 'vitest';

import { printing, watchPrinting } from './printing';

const { dataset } = document.documentElement;
const send = (event: 'beforeprint' | 'afterprint') => window.dispatchEvent(new Event(event));

beforeAll(watchPrinting);
beforeEach(() => {
  send('afterprint');
  dataset['mantineColorScheme'] = 'dark';
});

it('is light on paper and what it was after it, also where it is told twice', () => {
  send('beforeprint');
  send('beforeprint');
  expect(dataset['mantineColorScheme']).toBe('light');
  send('afterprint');
  expect(dataset['mantineColorScheme']).toBe('dark');
  send('afterprint');
  expect(dataset['mantineColorScheme']).toBe('dark');
});

it('is known to what begins to follow in the middle of it', () => {
  send('beforeprint');
  let told = 0;
  const unfollow = printing.follow(() => (told += 1));
  expect(printing.get()?.where).toBe(window.location.href);
  send('afterprint');
  expect([told, printing.get()]).toEqual([1, undefined]);
  unfollow();
});
