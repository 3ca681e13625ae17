import { oneOf, text } from '@frame/search';
import { IconChartPie } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** Which buckets are listed. */
export const SHOWN = ['uncovered', 'unknown', 'covered', 'open'] as const;

interface Search {
  readonly q?: string;
  readonly show?: (typeof SHOWN)[number];
  /** Of the storages behind these gateways, with commas. */
  readonly gateways?: string;
  readonly sort?: string;
}

export const coverageRoute = createRoute({
  getParentRoute: () => root,
  path: '/coverage',
  validateSearch: (raw: Record<string, unknown>): Search => ({
    q: text(raw, 'q'),
    show: oneOf(raw, 'show', SHOWN),
    gateways: text(raw, 'gateways'),
    sort: text(raw, 'sort'),
  }),
  staticData: {
    page: { title: 'Coverage', group: 'Governance', icon: IconChartPie, needs: 'read-gateways', words: 'buckets encrypted plain unknown' },
  },
  component: lazyRouteComponent(() => import('./coverage'), 'Coverage'),
});
