import { beforeEach, expect, it } from 'vitest';

import { LoggedOut } from './problem';
import { again, begin, end, inside, session, type Who } from './session';

const person = (name: string): Who => ({ name, role: 'admin', permissions: [] });

beforeEach(() => {
  end();
  begin(person('ann'));
});

it('goes on with what waited once its person has logged in again', async () => {
  const waits = again(inside(), true);
  expect(session.get().is).toBe('over');
  begin(person('ann'));
  await expect(waits).resolves.toBeUndefined();
  expect(session.get()).toEqual({ is: 'in', who: person('ann') });
});

it('drops what waited where another person logs in, says so, and has been out between', async () => {
  const [writes, reads] = [again(inside(), true), again(inside(), false)];
  const seen: string[] = [];
  const unfollow = session.follow(() => seen.push(session.get().is));
  begin(person('bob'));
  unfollow();
  await expect(writes).rejects.toBeInstanceOf(LoggedOut);
  await expect(reads).rejects.toBeInstanceOf(LoggedOut);
  expect(session.get()).toEqual({ is: 'in', who: person('bob'), before: { name: 'ann', dropped: true } });
  expect(seen).toEqual(['out', 'in']);
});

it('drops what another person had asked and hears of only after the log-in', async () => {
  const asker = inside();
  begin(person('bob'));
  await expect(again(asker, true)).rejects.toBeInstanceOf(LoggedOut);
  expect(inside()?.name).toBe('bob');
  expect(session.get().is).toBe('in');
});

it('does not ask twice for a log-in that came while the answer was under way', async () => {
  const asker = inside();
  void again(asker, false);
  begin(person('ann'));
  await expect(again(asker, false)).resolves.toBeUndefined();
  expect(session.get().is).toBe('in');
});

it('follows who logs in on another page of the same browser', async () => {
  const other = new BroadcastChannel('sealgate-session');
  const waits = again(inside(), true);
  other.postMessage(person('bob'));
  await expect(waits).rejects.toBeInstanceOf(LoggedOut);
  expect(inside()?.name).toBe('bob');
  other.close();
});
