import { cleanup, render } from '@testing-library/react';
import { afterEach, expect, it, vi } from 'vitest';

import { Editor } from './Editor';

afterEach(cleanup);

it('has a text whose check failed checked again once that may succeed, and one that was checked not', async () => {
  const check = vi.fn<() => Promise<readonly never[]>>().mockRejectedValueOnce(new Error('no answer')).mockResolvedValue([]);
  const editor = (again: boolean) => <Editor label="Text" value="text" onChange={() => undefined} check={check} again={again} />;
  const { rerender } = render(editor(true));
  await vi.waitFor(() => expect(check).toHaveBeenCalledTimes(1), { timeout: 10_000 });
  // The failure arrives.
  await new Promise((go) => setTimeout(go, 0));
  rerender(editor(false));
  rerender(editor(true));
  await vi.waitFor(() => expect(check).toHaveBeenCalledTimes(2), { timeout: 10_000 });
  await new Promise((go) => setTimeout(go, 0));
  rerender(editor(false));
  rerender(editor(true));
  // Asked at once, or not at all.
  await new Promise((go) => setTimeout(go, 0));
  expect(check).toHaveBeenCalledTimes(2);
});
