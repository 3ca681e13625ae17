import { IconLayoutDashboard } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const dashboardRoute = createRoute({
  getParentRoute: () => root,
  path: '/',
  staticData: { page: { title: 'Dashboard', icon: IconLayoutDashboard, words: 'overview status troubles' } },
  component: lazyRouteComponent(() => import('./dashboard'), 'Dashboard'),
});
