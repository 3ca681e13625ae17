import { PageError } from '@frame/PageError';
import { createRouter } from '@tanstack/react-router';

import { dashboardRoute } from './dashboard/route';
import { root } from './root';

/** Every page, one line a folder; the sidebar has their order. */
const tree = root.addChildren([dashboardRoute]);

/** The way from addresses to pages. */
export const router = createRouter({ routeTree: tree, defaultErrorComponent: PageError, defaultPreload: 'intent', scrollRestoration: false });

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
