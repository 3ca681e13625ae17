import { useBlocker } from '@tanstack/react-router';

import { Confirm } from './Confirm';

/** Keeps a page from being left with what was not saved, save knowingly. */
export function Unsaved({ dirty }: { readonly dirty: boolean }) {
  const blocker = useBlocker({
    shouldBlockFn: ({ current, next }) => dirty && current.pathname !== next.pathname,
    enableBeforeUnload: dirty,
    withResolver: true,
  });
  if (blocker.status !== 'blocked') return null;
  return (
    <Confirm
      title="Leave without saving?"
      impact="What you changed on this page is not saved. It is lost when you leave."
      verb="Leave"
      danger
      busy={false}
      error={null}
      onConfirm={blocker.proceed}
      onClose={blocker.reset}
    />
  );
}
