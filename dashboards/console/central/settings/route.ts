import { IconSettings } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const settingsRoute = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  staticData: {
    page: { title: 'Settings', group: 'Administration', icon: IconSettings, needs: 'manage-fleet', words: 'configuration retention lineage' },
  },
  component: lazyRouteComponent(() => import('./settings'), 'Settings'),
});
