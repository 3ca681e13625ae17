import { oneOf, text } from '@frame/search';
import { IconTable } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** What figures are summed by; `key`: not at all. */
export const BY = ['gateway', 'bucket', 'policy', 'outcome', 'policy-outcome', 'key'] as const;

/** Since when, in seconds before now; absent: for all time. */
export const SINCE = { '1h': 3_600, '6h': 21_600, '24h': 86_400, '7d': 604_800, '30d': 2_592_000, '90d': 7_776_000 } as const;

interface Search {
  readonly by?: (typeof BY)[number];
  readonly since?: keyof typeof SINCE;
  /** Only rows of these, with commas. */
  readonly gateways?: string;
  readonly outcome?: string;
  readonly policy?: string;
  readonly bucket?: string;
  readonly sort?: string;
}

export const figuresRoute = createRoute({
  getParentRoute: () => root,
  path: '/figures',
  validateSearch: (raw: Record<string, unknown>): Search => ({
    by: oneOf(raw, 'by', BY),
    since: oneOf(raw, 'since', Object.keys(SINCE) as (keyof typeof SINCE)[]),
    gateways: text(raw, 'gateways'),
    outcome: text(raw, 'outcome'),
    policy: text(raw, 'policy'),
    bucket: text(raw, 'bucket'),
    sort: text(raw, 'sort'),
  }),
  staticData: {
    page: { title: 'Figures', icon: IconTable, needs: 'read-gateways', words: 'statistics counts objects bytes outcome export' },
  },
  component: lazyRouteComponent(() => import('./figures'), 'Figures'),
});
