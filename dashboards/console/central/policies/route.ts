import { oneOf, ordered, text, whole } from '@frame/search';
import { IconHistory, IconShieldLock } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** What a policy does with its matches. */
export const MODES = ['enforce', 'audit', 'disabled'] as const;

interface ListSearch {
  readonly q?: string;
  readonly mode?: (typeof MODES)[number];
  readonly sort?: string;
}

export const policiesRoute = createRoute({
  getParentRoute: () => root,
  path: '/policies',
  validateSearch: (raw: Record<string, unknown>): ListSearch => ({
    q: text(raw, 'q'),
    mode: oneOf(raw, 'mode', MODES),
    sort: text(raw, 'sort'),
  }),
  staticData: {
    page: { title: 'Policies', group: 'Governance', icon: IconShieldLock, needs: 'read-policies', words: 'rules encrypt deny editor' },
  },
  component: lazyRouteComponent(() => import('./list'), 'PolicyList'),
});

export const newPolicyRoute = createRoute({
  getParentRoute: () => root,
  path: '/new-policy',
  component: lazyRouteComponent(() => import('./create'), 'NewPolicy'),
});

/** What is shown of a policy. */
export const TABS = ['text', 'figures', 'history'] as const;

export const policyRoute = createRoute({
  getParentRoute: () => root,
  path: '/policies/$name',
  validateSearch: (raw: Record<string, unknown>): { readonly tab?: (typeof TABS)[number]; readonly sort?: string } => ({ tab: oneOf(raw, 'tab', TABS), ...ordered(raw) }),
  component: lazyRouteComponent(() => import('./detail'), 'PolicyDetail'),
});

/** How far a gateway has come with a revision. */
export const REACHED = ['effective', 'waiting', 'refused'] as const;

interface ConvergenceSearch {
  readonly show?: (typeof REACHED)[number];
  /** Only these, with commas. */
  readonly gateways?: string;
}

export const convergenceRoute = createRoute({
  getParentRoute: () => root,
  path: '/convergence',
  validateSearch: (raw: Record<string, unknown>): ConvergenceSearch => ({
    show: oneOf(raw, 'show', REACHED),
    gateways: text(raw, 'gateways'),
  }),
  component: lazyRouteComponent(() => import('./reached'), 'ConvergencePage'),
});

interface HistorySearch {
  /** Revisions that are compared. */
  readonly from?: number;
  readonly to?: number;
}

export const historyRoute = createRoute({
  getParentRoute: () => root,
  path: '/revisions',
  validateSearch: (raw: Record<string, unknown>): HistorySearch => ({ from: whole(raw, 'from'), to: whole(raw, 'to') }),
  staticData: {
    page: { title: 'Revisions', group: 'Governance', icon: IconHistory, needs: 'read-policies', words: 'history diff rollback convergence' },
  },
  component: lazyRouteComponent(() => import('./history'), 'Revisions'),
});
