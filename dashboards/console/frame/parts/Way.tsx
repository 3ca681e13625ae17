import { Link, type LinkProps } from '@tanstack/react-router';
import type { ReactNode } from 'react';

import { may, session } from '../session';
import { useStore } from '../store';

interface Props extends Pick<LinkProps, 'to' | 'params' | 'search' | 'hash'> {
  /** What the page behind it needs. Whoever may not see it gets the words without the way. */
  readonly needs?: string;
  readonly children: ReactNode;
}

/** A way to a page, for those who may go there. */
export function Way({ needs, children, ...to }: Props) {
  const now = useStore(session);
  return may(now, needs) ? <Link {...to}>{children}</Link> : <>{children}</>;
}
