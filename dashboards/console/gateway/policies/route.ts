import { text } from '@frame/search';
import { IconShieldLock } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export const policiesRoute = createRoute({
  getParentRoute: () => root,
  path: '/policies',
  validateSearch: (raw: Record<string, unknown>): { readonly q?: string; readonly sort?: string; readonly policy?: string } => ({ q: text(raw, 'q'), sort: text(raw, 'sort'), policy: text(raw, 'policy') }),
  staticData: { page: { title: 'Policies', group: 'Encryption', icon: IconShieldLock, words: 'central received revision hits' } },
  component: lazyRouteComponent(() => import('./policies'), 'PoliciesPage'),
});
