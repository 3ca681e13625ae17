import { text } from '@frame/search';
import { IconIdBadge2 } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const credentialsRoute = createRoute({
  getParentRoute: () => root,
  path: '/credentials',
  validateSearch: (raw: Record<string, unknown>): { readonly q?: string; readonly sort?: string } => ({ q: text(raw, 'q'), sort: text(raw, 'sort') }),
  staticData: { page: { title: 'Credentials', group: 'Access', icon: IconIdBadge2, words: 's3 access key secret grants rights clients' } },
  component: lazyRouteComponent(() => import('./credentials'), 'Credentials'),
});
