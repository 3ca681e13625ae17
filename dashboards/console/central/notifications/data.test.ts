import { begin } from '@frame/session';
import { expect, test } from 'vitest';

import { look, type Notification, placeOf, seen, unreadOf } from './data';

const lost = (subject: string, since = '2026-11-29T16:00:00Z'): Notification => ({
  id: `gateway-lost:${subject}`,
  kind: 'gateway-lost',
  severity: 'error',
  subject,
  message: 'It is not heard any more.',
  since,
});

test('what was looked at is not new, until it happens again', () => {
  const first = [lost('a'), lost('b')];
  expect(unreadOf(first, seen.get())).toHaveLength(2);
  look(first);
  expect(unreadOf(first, seen.get())).toHaveLength(0);
  const again = [lost('a', '2026-11-29T18:00:00Z'), lost('b')];
  expect(unreadOf(again, seen.get()).map((one) => one.subject)).toEqual(['a']);
});

test('what one person looked at is new to the next one', () => {
  const who = (name: string) => ({ name, role: 'admin', permissions: [] });
  begin(who('first'));
  const all = [lost('c')];
  look(all);
  begin(who('first'));
  expect(unreadOf(all, seen.get())).toHaveLength(0);
  begin(who('second'));
  expect(unreadOf(all, seen.get())).toHaveLength(1);
});

test('each entry leads to its place', () => {
  expect(placeOf(lost('a'), true)).toEqual({ to: '/gateways/$name', params: { name: 'a' } });
  expect(placeOf(lost('a'), false)).toEqual({ to: '/gateways', search: { gateways: 'a' } });
  expect(placeOf({ kind: 'kms', subject: 'a' }, true)).toEqual({ to: '/kms', search: { gateways: 'a' } });
});
