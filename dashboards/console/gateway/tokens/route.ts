import { text } from '@frame/search';
import { IconLockAccess } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const tokensRoute = createRoute({
  getParentRoute: () => root,
  path: '/tokens',
  validateSearch: (raw: Record<string, unknown>): { readonly sort?: string } => ({ sort: text(raw, 'sort') }),
  staticData: { page: { title: 'API tokens', group: 'Access', icon: IconLockAccess, words: 'log in console scripts administration' } },
  component: lazyRouteComponent(() => import('./tokens'), 'Tokens'),
});
