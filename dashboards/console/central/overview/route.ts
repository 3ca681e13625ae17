import { names, oneOf } from '@frame/search';
import { IconLayoutDashboard } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** The ranges that graphs can have, and their length in seconds. */
export const RANGES = { '1h': 3_600, '6h': 21_600, '24h': 86_400, '7d': 604_800, '30d': 2_592_000, '90d': 7_776_000 } as const;

export type Range = keyof typeof RANGES;

/** What they are called. */
export const NAMES: Readonly<Record<Range, string>> = {
  '1h': 'Last hour',
  '6h': 'Last 6 hours',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '30d': 'Last 30 days',
  '90d': 'Last 90 days',
};

interface Search {
  /** Gateways that the figures are of, with commas; absent: all. */
  readonly gateways?: string;
  readonly range?: Range;
}

export const overviewRoute = createRoute({
  getParentRoute: () => root,
  path: '/',
  validateSearch: (raw: Record<string, unknown>): Search => ({
    gateways: names(raw, 'gateways').join(',') || undefined,
    range: oneOf(raw, 'range', Object.keys(RANGES) as Range[]),
  }),
  staticData: { page: { title: 'Overview', icon: IconLayoutDashboard, words: 'dashboard tiles graphs traffic' } },
  component: lazyRouteComponent(() => import('./overview'), 'Overview'),
});
