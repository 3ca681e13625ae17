import { flag, text } from '@frame/search';
import { IconSettings } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

interface Search {
  readonly q?: string;
  /** Only what is not as it comes. */
  readonly set?: true;
  readonly sort?: string;
}

export const settingsRoute = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  validateSearch: (raw: Record<string, unknown>): Search => ({ q: text(raw, 'q'), set: flag(raw, 'set'), sort: text(raw, 'sort') }),
  staticData: {
    page: { title: 'Settings', group: 'Administration', icon: IconSettings, needs: 'manage-fleet', words: 'configuration retention lineage' },
  },
  component: lazyRouteComponent(() => import('./settings'), 'Settings'),
});
