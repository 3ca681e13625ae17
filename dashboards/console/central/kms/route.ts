import { text } from '@frame/search';
import { IconKey } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const kmsRoute = createRoute({
  getParentRoute: () => root,
  path: '/kms',
  validateSearch: (raw: Record<string, unknown>): { readonly sort?: string } => ({ sort: text(raw, 'sort') }),
  staticData: {
    page: { title: 'KMS', group: 'Fleet', icon: IconKey, needs: 'read-overview', words: 'keys master rsa vault calls errors' },
  },
  component: lazyRouteComponent(() => import('./kms'), 'Kms'),
});
