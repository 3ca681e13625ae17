import { text } from '@frame/search';
import { IconServer2 } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const backendsRoute = createRoute({
  getParentRoute: () => root,
  path: '/backends',
  validateSearch: (raw: Record<string, unknown>): { readonly sort?: string } => ({ sort: text(raw, 'sort') }),
  staticData: { page: { title: 'Backends', group: 'Storage', icon: IconServer2, words: 'storage s3 directory reachable errors region' } },
  component: lazyRouteComponent(() => import('./backends'), 'Backends'),
});
