import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { act, cleanup, fireEvent, render, screen } from '@testing-library/react';
import type { ReactNode } from 'react';
import { afterEach, expect, it, vi } from 'vitest';

import { EditPolicy } from './revise';
import { put } from './write';

afterEach(cleanup);

vi.mock('./write', () => ({ put: vi.fn() }));
// A plain field in place of the editor, which measures what is drawn.
vi.mock('./edit', () => ({
  PolicyEditor: ({ text, onChange, actions }: { readonly text: string; readonly onChange: (text: string) => void; readonly actions: ReactNode }) => (
    <>
      <textarea aria-label="Text" value={text} onChange={(event) => onChange(event.currentTarget.value)} />
      {actions}
    </>
  ),
  Publish: ({ dirty, onClick }: { readonly dirty: boolean; readonly onClick: () => void }) => (
    <button type="button" disabled={!dirty} onClick={onClick}>
      Publish
    </button>
  ),
}));
// It stands in the router's way.
vi.mock('@frame/parts/Unsaved', () => ({ Unsaved: () => null }));

it('keeps what is typed while the text before it is being published', async () => {
  let answer: (etag: string) => void = () => undefined;
  vi.mocked(put).mockReturnValue(
    new Promise((resolve) => {
      answer = (etag) => resolve({ data: { revision: 2, changed: ['p'] }, response: new Response(null, { headers: { etag } }) } as never);
    }),
  );
  const queries = new QueryClient();
  const page = (source: string, etag: string) => (
    <MantineProvider>
      <QueryClientProvider client={queries}>
        <EditPolicy name="p" source={source} etag={etag} changedIn={1} edits />
      </QueryClientProvider>
    </MantineProvider>
  );
  const { rerender } = render(page('old', '"1"'));
  const text = screen.getByRole<HTMLTextAreaElement>('textbox', { name: 'Text' });
  const type = (value: string) => fireEvent.change(text, { target: { value } });
  type('published');
  await act(async () => {
    fireEvent.click(screen.getByRole('button', { name: 'Publish' }));
    await Promise.resolve();
  });
  type('published, and typed on');
  await act(async () => {
    answer('"2"');
    await new Promise((go) => setTimeout(go, 0));
  });
  // The page has not heard of the revision yet: the old text is not somebody else's, and nobody's to go back to.
  expect(text.value).toBe('published, and typed on');
  expect(screen.queryByRole('alert')).toBeNull();
  expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Publish' }).disabled).toBe(false);
  rerender(page('published', '"2"'));
  expect(text.value).toBe('published, and typed on');
  expect(screen.queryByRole('alert')).toBeNull();
  // What somebody else publishes after that is told.
  rerender(page('theirs', '"3"'));
  expect(screen.getByRole('alert').textContent).toContain('Somebody else published this policy meanwhile');
});
