import { IconShieldLock } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const policiesRoute = createRoute({
  getParentRoute: () => root,
  path: '/policies',
  staticData: { page: { title: 'Policies', group: 'Encryption', icon: IconShieldLock, words: 'central received revision' } },
  component: lazyRouteComponent(() => import('./policies'), 'Policies'),
});
