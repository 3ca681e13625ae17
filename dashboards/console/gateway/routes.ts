import { PageError } from '@frame/PageError';
import { createRouter } from '@tanstack/react-router';

import { backendsRoute } from './backends/route';
import { bucketsRoute } from './buckets/route';
import { credentialsRoute } from './credentials/route';
import { dashboardRoute } from './dashboard/route';
import { kmsRoute } from './kms/route';
import { logRoute } from './log/route';
import { objectsRoute } from './objects/route';
import { policiesRoute } from './policies/route';
import { root } from './root';
import { settingsRoute } from './settings/route';
import { tokensRoute } from './tokens/route';

/** Every page, one line a folder; the sidebar has their order. */
const tree = root.addChildren([
  dashboardRoute,
  bucketsRoute,
  objectsRoute,
  backendsRoute,
  kmsRoute,
  policiesRoute,
  credentialsRoute,
  tokensRoute,
  logRoute,
  settingsRoute,
]);

/** The way from addresses to pages. */
export const router = createRouter({ routeTree: tree, defaultErrorComponent: PageError, defaultPreload: 'intent', scrollRestoration: false });

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
