import { MantineProvider } from '@mantine/core';
import { useInfiniteQuery, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/react';
import { afterEach, expect, it, vi } from 'vitest';

import { Problem } from '../problem';
import { type Column, DataTable } from './DataTable';

afterEach(cleanup);

const COLUMNS: readonly Column<number>[] = [{ id: 'number', head: 'Number', value: (row) => row, cell: (row) => `row ${row}` }];
const refusal = new Problem(500, 'internal', 'This did not work', 'The page could not be read.', [], {});

/** A list of two pages; what each further one brings is given by hand. */
function Listed({ ask, first }: { readonly ask: () => Promise<readonly number[]>; readonly first: readonly number[] }) {
  const list = useInfiniteQuery({
    queryKey: ['list'],
    queryFn: ({ pageParam }) => (pageParam === 0 ? first : ask()),
    initialPageParam: 0,
    getNextPageParam: (_last, pages) => (pages.length < 2 ? 1 : undefined),
  });
  return (
    <DataTable
      plain
      what="numbers"
      columns={COLUMNS}
      rows={list.data?.pages.flat()}
      rowKey={String}
      asked={list}
      more={{ has: list.hasNextPage, busy: list.isFetchingNextPage, load: () => void list.fetchNextPage() }}
      empty="none"
    />
  );
}

function show(ask: () => Promise<readonly number[]>, first: readonly number[] = [1, 2]): QueryClient {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <MantineProvider>
      <QueryClientProvider client={queries}>
        <Listed ask={ask} first={first} />
      </QueryClientProvider>
    </MantineProvider>,
  );
  return queries;
}

it('asks once for a next page that fails, says why under the rows, and asks again by hand', async () => {
  const ask = vi.fn<() => Promise<readonly number[]>>().mockRejectedValue(refusal);
  show(ask);
  expect((await screen.findByRole('alert')).textContent).toContain('The page could not be read.');
  expect(screen.getByText('row 2')).toBeTruthy();
  // Whatever would be asked by itself would have been by now.
  for (let turn = 0; turn < 20; turn += 1) await new Promise((go) => setTimeout(go, 0));
  expect(ask).toHaveBeenCalledTimes(1);

  ask.mockResolvedValue([3]);
  fireEvent.click(screen.getByRole('button', { name: 'Try again' }));
  expect(await screen.findByText('row 3')).toBeTruthy();
  expect(ask).toHaveBeenCalledTimes(2);
  expect(screen.queryByRole('alert')).toBeNull();
});

it('says since when its rows are as they are where they could not be asked for anew, and asks for all of them by hand', async () => {
  const ask = vi.fn<() => Promise<readonly number[]>>().mockResolvedValue([3]);
  const queries = show(ask);
  expect(await screen.findByText('row 3')).toBeTruthy();
  ask.mockRejectedValueOnce(refusal);
  await queries.invalidateQueries();
  expect((await screen.findByRole('alert')).textContent).toMatch(/Not refreshed since \d\d:\d\d: The page could not be read\./);
  expect(screen.getByText('row 3')).toBeTruthy();
  fireEvent.click(screen.getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(screen.queryByRole('alert')).toBeNull());
  expect(ask).toHaveBeenCalledTimes(3);
});

it('does not go on saying that it loads where a first page was empty and the next one failed', async () => {
  show(() => Promise.reject(refusal), []);
  expect(await screen.findByRole('button', { name: 'Try again' })).toBeTruthy();
  expect(screen.queryByText('Loading numbers')).toBeNull();
});
