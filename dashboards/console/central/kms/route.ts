import { text } from '@frame/search';
import { IconKey } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

interface Search {
  readonly sort?: string;
  /** Of the storages behind these gateways, with commas. */
  readonly gateways?: string;
}

export const kmsRoute = createRoute({
  getParentRoute: () => root,
  path: '/kms',
  validateSearch: (raw: Record<string, unknown>): Search => ({ sort: text(raw, 'sort'), gateways: text(raw, 'gateways') }),
  staticData: {
    page: { title: 'KMS', group: 'Fleet', icon: IconKey, needs: 'read-gateways', words: 'keys master rsa vault calls errors' },
  },
  component: lazyRouteComponent(() => import('./kms'), 'Kms'),
});
