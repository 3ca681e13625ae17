import { text } from '@frame/search';
import { IconListDetails } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

interface Search {
  readonly actor?: string;
  readonly action?: string;
  readonly subject?: string;
}

export const auditRoute = createRoute({
  getParentRoute: () => root,
  path: '/audit',
  validateSearch: (raw: Record<string, unknown>): Search => ({
    actor: text(raw, 'actor'),
    action: text(raw, 'action'),
    subject: text(raw, 'subject'),
  }),
  staticData: {
    page: { title: 'Audit', group: 'Governance', icon: IconListDetails, needs: 'read-audit', words: 'log who did what export verify' },
  },
  component: lazyRouteComponent(() => import('./audit'), 'Audit'),
});
