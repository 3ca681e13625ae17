import { ordered } from '@frame/search';
import { IconKey } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const kmsRoute = createRoute({
  getParentRoute: () => root,
  path: '/kms',
  validateSearch: ordered,
  staticData: { page: { title: 'KMS', group: 'Encryption', icon: IconKey, words: 'keys rsa upload generate activate rotate remove' } },
  component: lazyRouteComponent(() => import('./kms'), 'Kms'),
});
