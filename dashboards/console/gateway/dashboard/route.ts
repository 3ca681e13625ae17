import { oneOf } from '@frame/search';
import { IconLayoutDashboard } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** The ranges that graphs can have, in minutes: the gateway remembers an hour. */
export const RANGES = { '5m': 5, '15m': 15, '30m': 30, '1h': 60 } as const;

export type Range = keyof typeof RANGES;

export const dashboardRoute = createRoute({
  getParentRoute: () => root,
  path: '/',
  validateSearch: (raw: Record<string, unknown>): { readonly range?: Range } => ({ range: oneOf(raw, 'range', Object.keys(RANGES) as Range[]) }),
  staticData: { page: { title: 'Dashboard', icon: IconLayoutDashboard, words: 'overview status troubles graphs traffic central' } },
  component: lazyRouteComponent(() => import('./dashboard'), 'Dashboard'),
});
