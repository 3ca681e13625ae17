import { PageError } from '@frame/PageError';
import { createRouter } from '@tanstack/react-router';

import { accountRoute } from './account/route';
import { auditRoute } from './audit/route';
import { coverageRoute } from './coverage/route';
import { figuresRoute } from './figures/route';
import { enrolRoute, gatewayRoute, gatewaysRoute } from './gateways/route';
import { kmsRoute } from './kms/route';
import { notificationsRoute } from './notifications/route';
import { overviewRoute } from './overview/route';
import { peopleRoute, tokensRoute } from './people/route';
import { convergenceRoute, historyRoute, newPolicyRoute, policiesRoute, policyRoute } from './policies/route';
import { root } from './root';
import { settingsRoute } from './settings/route';

/** Every page, one line a folder; the sidebar has their order. */
const tree = root.addChildren([
  overviewRoute,
  figuresRoute,
  notificationsRoute,
  ...[gatewaysRoute, gatewayRoute, enrolRoute],
  kmsRoute,
  ...[policiesRoute, policyRoute, newPolicyRoute, historyRoute, convergenceRoute],
  coverageRoute,
  auditRoute,
  ...[peopleRoute, tokensRoute],
  settingsRoute,
  accountRoute,
]);

/** The way from addresses to pages. */
export const router = createRouter({
  routeTree: tree,
  defaultErrorComponent: PageError,
  defaultPreload: 'intent',
  scrollRestoration: false,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
