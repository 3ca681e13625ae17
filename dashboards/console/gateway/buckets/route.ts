import { text } from '@frame/search';
import { IconBucket } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const bucketsRoute = createRoute({
  getParentRoute: () => root,
  path: '/buckets',
  validateSearch: (raw: Record<string, unknown>): { readonly q?: string; readonly sort?: string } => ({ q: text(raw, 'q'), sort: text(raw, 'sort') }),
  staticData: { page: { title: 'Buckets', group: 'Storage', icon: IconBucket, words: 'encryption toggle effective why anonymous settings' } },
  component: lazyRouteComponent(() => import('./buckets'), 'Buckets'),
});
