import { flag, oneOf, text } from '@frame/search';
import { IconListSearch } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** How grave a line is at least. */
export const LEVELS = ['error', 'warn', 'info'] as const;

/** Which lines: all, or those that tell who changed what here. */
export const KINDS = ['all', 'changes'] as const;

interface Search {
  readonly level?: (typeof LEVELS)[number];
  readonly show?: (typeof KINDS)[number];
  /** Lines that contain it. */
  readonly q?: string;
  /** No new lines come. */
  readonly still?: true;
}

export const logRoute = createRoute({
  getParentRoute: () => root,
  path: '/log',
  validateSearch: (raw: Record<string, unknown>): Search => ({ level: oneOf(raw, 'level', LEVELS), show: oneOf(raw, 'show', KINDS), q: text(raw, 'q'), still: flag(raw, 'still') }),
  staticData: { page: { title: 'Log', group: 'Gateway', icon: IconListSearch, words: 'audit events errors warnings who changed what' } },
  component: lazyRouteComponent(() => import('./log'), 'Log'),
});
