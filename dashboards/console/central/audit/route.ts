import { oneOf, text } from '@frame/search';
import { IconListDetails } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

/** Spans before now, in seconds. */
export const SINCE = { '1h': 3_600, '24h': 86_400, '7d': 604_800, '30d': 2_592_000, '365d': 31_536_000 } as const;

/** What the audit is narrowed to. */
export interface AuditSearch {
  readonly actor?: string;
  readonly action?: string;
  readonly subject?: string;
  /** A part of the subject. */
  readonly q?: string;
  readonly since?: keyof typeof SINCE;
  /** Between two moments, as fields of time have them: `2026-11-29T16:00`, in the reader's time zone. */
  readonly from?: string;
  readonly to?: string;
}

export const auditRoute = createRoute({
  getParentRoute: () => root,
  path: '/audit',
  validateSearch: (raw: Record<string, unknown>): AuditSearch => ({
    actor: text(raw, 'actor'),
    action: text(raw, 'action'),
    subject: text(raw, 'subject'),
    q: text(raw, 'q'),
    since: oneOf(raw, 'since', Object.keys(SINCE) as (keyof typeof SINCE)[]),
    from: text(raw, 'from'),
    to: text(raw, 'to'),
  }),
  staticData: {
    page: { title: 'Audit', group: 'Governance', icon: IconListDetails, needs: 'read-audit', words: 'log who did what export verify' },
  },
  component: lazyRouteComponent(() => import('./audit'), 'Audit'),
});
