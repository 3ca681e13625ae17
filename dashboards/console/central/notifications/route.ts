import { oneOf, text } from '@frame/search';
import { IconBell } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** How bad something can be. */
export const SEVERITIES = ['error', 'warning'] as const;

interface Search {
  readonly q?: string;
  readonly severity?: (typeof SEVERITIES)[number];
  readonly sort?: string;
}

export const notificationsRoute = createRoute({
  getParentRoute: () => root,
  path: '/notifications',
  validateSearch: (raw: Record<string, unknown>): Search => ({
    q: text(raw, 'q'),
    severity: oneOf(raw, 'severity', SEVERITIES),
    sort: text(raw, 'sort'),
  }),
  staticData: {
    page: { title: 'Notifications', icon: IconBell, needs: 'read-overview', words: 'alerts warnings lost refusal certificate kms gap' },
  },
  component: lazyRouteComponent(() => import('./list'), 'NotificationList'),
});
