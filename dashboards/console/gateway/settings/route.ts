import { ordered } from '@frame/search';
import { IconSettings } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const settingsRoute = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  validateSearch: ordered,
  staticData: { page: { title: 'Settings', group: 'Gateway', icon: IconSettings, words: 'floor former places mappings group version storage' } },
  component: lazyRouteComponent(() => import('./settings'), 'Settings'),
});
