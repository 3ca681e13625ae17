import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { cleanup, render, screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import type { Application } from './application';
import { Gate } from './Gate';
import { problemOf } from './problem';
import { session, type Who } from './session';

const ann: Who = { name: 'ann', role: 'admin', permissions: [] };

class Source extends EventTarget {
  close() {
    // Nothing is held.
  }
}

beforeEach(() => {
  vi.stubGlobal('EventSource', Source);
  session.set({ is: 'unknown' });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** Stands before a page; `who` is the application's. */
function show(who: Application['who']) {
  const app: Application = {
    name: 'Central',
    part: 'Central',
    logIn: { name: true, secret: 'Password', hint: '' },
    topics: [],
    who,
    enter: () => Promise.resolve(ann),
    leave: () => Promise.resolve(),
  };
  render(
    <MantineProvider>
      <QueryClientProvider client={new QueryClient()}>
        <Gate app={app}>the page</Gate>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

const refused = (status: number) => problemOf(status, { type: '/problems/unavailable', title: 'Not available', detail: 'The database does not answer.' });

it('waits for a service that cannot look the session up, and does not ask for a log-in', async () => {
  const who = vi.fn<Application['who']>().mockRejectedValueOnce(refused(503)).mockResolvedValue(ann);
  show(who);
  expect(await screen.findByText('Waiting for Central to answer.')).toBeTruthy();
  expect(screen.queryByLabelText('Account')).toBeNull();
  // Asked again without anything telling of the return.
  expect(await screen.findByText('the page', undefined, { timeout: 10_000 })).toBeTruthy();
  expect(who).toHaveBeenCalledTimes(2);
});

it('asks for a log-in where nobody is there', async () => {
  show(() => Promise.resolve(null));
  expect(await screen.findByRole('button', { name: 'Log in' })).toBeTruthy();
});
