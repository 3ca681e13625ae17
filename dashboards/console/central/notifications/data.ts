import { read } from '@frame/api';
import { session } from '@frame/session';
import { Store } from '@frame/store';
import type { LinkProps } from '@tanstack/react-router';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** Something that is the matter. */
export type Notification = Schemas['Notification'];

/** What is the matter now, newest first. */
export const notificationsQuery = () =>
  queryOptions({
    queryKey: ['notifications'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/notifications', { signal })),
  });

/** What each kind is called. */
export const KINDS: Readonly<Record<Notification['kind'], string>> = {
  'gateway-lost': 'Gateway lost',
  'gateway-late': 'Gateway silent',
  refusal: 'Policies refused',
  quarantine: 'Gateway in quarantine',
  certificate: 'Certificate near its end',
  kms: 'KMS does not answer',
  'no-kms': 'No KMS is active',
  'statistics-gap': 'Gap in statistics',
  'behind-the-fleet': 'Central is behind',
};

/** Where it can be looked at. Whoever may not read gateways finds theirs in the table, which shows them less. */
export function placeOf(one: Pick<Notification, 'kind' | 'subject'>, readsGateways: boolean): Pick<LinkProps, 'to' | 'params' | 'search'> {
  if (!readsGateways) return { to: '/gateways', search: { gateways: one.subject } };
  if (one.kind === 'kms' || one.kind === 'no-kms') return { to: '/kms', search: { gateways: one.subject } };
  return { to: '/gateways/$name', params: { name: one.subject } };
}

/** Tells the same trouble apart from one of the same kind that came later. */
const mark = (one: Notification): string => `${one.id} ${one.kind === 'kms' || one.kind === 'no-kms' ? '' : one.since}`;

/** What the person of this page looked at since it was loaded: nothing of it is kept in the browser. */
export const seen = new Store<ReadonlySet<string>>(new Set());

// Nor for the person after.
session.follow(() => {
  if (session.get().is === 'out') seen.set(new Set());
});

/** Those that were not looked at yet. */
export const unreadOf = (all: readonly Notification[], known: ReadonlySet<string>): readonly Notification[] => all.filter((one) => !known.has(mark(one)));

/** They are looked at now; what is over is forgotten. */
export const look = (all: readonly Notification[]): void => seen.set(new Set(all.map(mark)));
