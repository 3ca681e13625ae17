import { oneOf, ordered } from '@frame/search';
import { IconLayoutDashboard } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** The ranges that graphs can have, in minutes: the gateway remembers two days. */
export const RANGES = { '5m': 5, '15m': 15, '30m': 30, '1h': 60, '6h': 360, '24h': 1440, '48h': 2880 } as const;

export type Range = keyof typeof RANGES;

/** What they are called. */
export const NAMES: Readonly<Record<Range, string>> = {
  '5m': 'Last 5 minutes',
  '15m': 'Last 15 minutes',
  '30m': 'Last 30 minutes',
  '1h': 'Last hour',
  '6h': 'Last 6 hours',
  '24h': 'Last 24 hours',
  '48h': 'Last 48 hours',
};

export const dashboardRoute = createRoute({
  getParentRoute: () => root,
  path: '/',
  validateSearch: (raw: Record<string, unknown>): { readonly range?: Range; readonly sort?: string } => ({
    range: oneOf(raw, 'range', Object.keys(RANGES) as Range[]),
    ...ordered(raw),
  }),
  staticData: { page: { title: 'Dashboard', icon: IconLayoutDashboard, words: 'overview status troubles graphs traffic central' } },
  component: lazyRouteComponent(() => import('./dashboard'), 'Dashboard'),
});
