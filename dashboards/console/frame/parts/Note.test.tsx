import { MantineProvider } from '@mantine/core';
import { act, cleanup, render, screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { problemOf, Unreachable } from '../problem';
import { reach } from '../reach';
import { Shown } from './Note';

beforeEach(() => reach.set({ is: 'well' }));
afterEach(cleanup);

const AT = new Date(2026, 0, 2, 9, 5).getTime();
const refusal = problemOf(500, { detail: 'The figures could not be read.' });

const show = (error: unknown) =>
  render(
    <MantineProvider>
      <Shown of={{ data: 'seven', error, dataUpdatedAt: AT, isPending: false, refetch: () => undefined }} what="figures">
        {(value) => <p>{value}</p>}
      </Shown>
    </MantineProvider>,
  );

it('shows what stands, and since when, where it could not be asked for anew', () => {
  show(refusal);
  expect(screen.getByText('seven')).toBeTruthy();
  expect(screen.getByRole('alert').textContent).toContain('Not refreshed since 2 Jan, 09:05: The figures could not be read.');
});

it('says nothing of the kind where it is fresh, or where the banner says that the service is away', () => {
  show(null);
  expect(screen.queryByRole('alert')).toBeNull();
  cleanup();
  show(new Unreachable());
  expect(screen.queryByRole('alert')).toBeNull();
  cleanup();
  show(refusal);
  expect(screen.getByRole('alert')).toBeTruthy();
  act(() => reach.set({ is: 'away', since: AT }));
  expect(screen.queryByRole('alert')).toBeNull();
  expect(screen.getByText('seven')).toBeTruthy();
});
