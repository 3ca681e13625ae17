import { flag, oneOf, ordered, text } from '@frame/search';
import { IconServer2 } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** States that a gateway can be in. */
export const STATES = ['active', 'pending', 'quarantined', 'suspended', 'retired'] as const;

/** How it can be heard. */
export const CONNECTIONS = ['connected', 'late', 'lost'] as const;

/** By what the service puts gateways in order; the columns have these names too. */
export const SORTS = ['name', 'seen', 'connection', 'version', 'revision'] as const;

/** An order as an address has it. */
export type GatewaySort = `${'' | '-'}${(typeof SORTS)[number]}`;

/** What the table is narrowed to, and its order. */
export interface GatewaySearch {
  readonly q?: string;
  readonly state?: (typeof STATES)[number];
  readonly connection?: (typeof CONNECTIONS)[number];
  readonly refusing?: true;
  readonly behind?: true;
  /** Without those that are retired. */
  readonly retired?: 'no';
  /** Only these, with commas. */
  readonly gateways?: string;
  readonly sort?: GatewaySort;
}

export const gatewaysRoute = createRoute({
  getParentRoute: () => root,
  path: '/gateways',
  validateSearch: (raw: Record<string, unknown>): GatewaySearch => ({
    q: text(raw, 'q'),
    state: oneOf(raw, 'state', STATES),
    connection: oneOf(raw, 'connection', CONNECTIONS),
    refusing: flag(raw, 'refusing'),
    behind: flag(raw, 'behind'),
    retired: oneOf(raw, 'retired', ['no']),
    gateways: text(raw, 'gateways'),
    sort: oneOf(raw, 'sort', [...SORTS, ...SORTS.map((one) => `-${one}` as const)]),
  }),
  staticData: {
    page: { title: 'Gateways', group: 'Fleet', icon: IconServer2, needs: 'read-gateways', words: 'fleet connected lost certificate' },
  },
  component: lazyRouteComponent(() => import('./list'), 'GatewayList'),
});

export const gatewayRoute = createRoute({
  getParentRoute: () => root,
  path: '/gateways/$name',
  validateSearch: ordered,
  component: lazyRouteComponent(() => import('./detail'), 'GatewayDetail'),
});

export const enrolRoute = createRoute({
  getParentRoute: () => root,
  path: '/enrol',
  validateSearch: ordered,
  component: lazyRouteComponent(() => import('./enrol'), 'Enrol'),
});
