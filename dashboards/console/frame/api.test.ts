import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { client, read } from './api';
import { begin, end, session } from './session';

interface Paths {
  '/api/v1/check': { post: { responses: { 200: { content: { 'application/json': string } } } } };
  '/api/v1/apply': { post: { responses: { 200: { content: { 'application/json': string } } } } };
}

const api = client<Paths>(['/api/v1/check']);

beforeEach(() => {
  end();
  begin({ name: 'ann', role: 'admin', permissions: [] });
});
afterEach(() => vi.unstubAllGlobals());

/** Nothing that is asked here is answered otherwise. */
const answers = (answer: () => Promise<Response>) => vi.stubGlobal('fetch', vi.fn(answer));

it('says of a question that is sent as a POST that it is asked again, and of an act that it may have been done', async () => {
  answers(() => Promise.reject(new TypeError('no connection')));
  await expect(read(api.POST('/api/v1/check'))).rejects.toThrow('It is tried again by itself');
  await expect(read(api.POST('/api/v1/apply'))).rejects.toThrow('it is not known whether this was carried out');
});

it.each([
  ['/api/v1/check', false],
  ['/api/v1/apply', true],
] as const)('counts %s among what was not carried out for another person: %s', async (path, dropped) => {
  answers(() => Promise.resolve(new Response(null, { status: 401 })));
  const waits = read(api.POST(path));
  await vi.waitFor(() => expect(session.get().is).toBe('over'));
  begin({ name: 'bob', role: 'admin', permissions: [] });
  await expect(waits).rejects.toThrow('The session is over');
  expect(session.get()).toMatchObject({ is: 'in', before: { name: 'ann', dropped } });
});
