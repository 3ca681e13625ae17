import { text } from '@frame/search';
import { IconKey, IconUsers } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

const sorted = (raw: Record<string, unknown>): { readonly sort?: string } => ({ sort: text(raw, 'sort') });

export const peopleRoute = createRoute({
  getParentRoute: () => root,
  path: '/users',
  validateSearch: sorted,
  staticData: {
    page: { title: 'Users', group: 'Administration', icon: IconUsers, needs: 'manage-operators', words: 'accounts roles passwords' },
  },
  component: lazyRouteComponent(() => import('./users'), 'Users'),
});

export const tokensRoute = createRoute({
  getParentRoute: () => root,
  path: '/tokens',
  validateSearch: sorted,
  staticData: {
    page: { title: 'API tokens', group: 'Administration', icon: IconKey, needs: 'manage-operators', words: 'api keys scripts' },
  },
  component: lazyRouteComponent(() => import('./tokens'), 'ApiTokens'),
});
