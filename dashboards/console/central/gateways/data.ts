import { read } from '@frame/api';
import { sortOf } from '@frame/parts/sort';
import type { Tone } from '@frame/parts/State';
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';
import { type GatewaySearch, SORTS } from './route';

/** A gateway as Central sees it. */
export type Gateway = Schemas['Gateway'];

/** Rows of the first page of the table, which is there at once, and of each further one. */
const FIRST = 100;
const FURTHER = 500;
/** Rows of a page of an export: as many as the service gives. */
const MOST = 1_000;

/** The names of an address, which has them with commas. */
export const listed = (names: string | undefined): string[] => (names ?? '').split(',').filter((name) => name !== '');

const page = (search: GatewaySearch, after: string | undefined, limit: number, signal?: AbortSignal) =>
  read(
    api.GET('/api/v1/gateways', {
      params: {
        query: {
          after,
          limit,
          q: search.q,
          gateway: listed(search.gateways),
          state: search.state === undefined ? [] : [search.state],
          connection: search.connection === undefined ? [] : [search.connection],
          refusing: search.refusing,
          behind: search.behind,
          retired: search.retired === 'no' ? false : undefined,
          sort: SORTS.find((one) => one === sortOf(search.sort)?.by),
          down: sortOf(search.sort)?.down,
        },
      },
      signal,
    }),
  );

/** The gateways that the service finds by the filter, page by page in the order that was chosen. */
export const gatewaysQuery = (search: GatewaySearch) =>
  infiniteQueryOptions({
    queryKey: ['gateways', 'list', search],
    queryFn: ({ pageParam, signal }) => page(search, pageParam, pageParam === undefined ? FIRST : FURTHER, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    meta: { also: ['policies'] },
  });

/** Every gateway that the filter finds, for an export. */
export async function everyGateway(search: GatewaySearch): Promise<Gateway[]> {
  const found: Gateway[] = [];
  let after: string | undefined;
  do {
    const part = await page(search, after, MOST);
    found.push(...part.gateways);
    after = part.next ?? undefined;
  } while (after !== undefined);
  return found;
}

/** The first gateways whose names have the text in them, without the retired ones, and how many there are. */
export const namesQuery = (q: string, limit = 100) =>
  queryOptions({
    queryKey: ['gateways', 'names', q, limit],
    queryFn: async ({ signal }) => {
      const { gateways, total } = await read(api.GET('/api/v1/gateways', { params: { query: { q, limit, retired: false } }, signal }));
      return { gateways: gateways.map(({ name, labels }) => ({ name, labels })), total };
    },
    staleTime: 30_000,
  });

/** One gateway. */
export const gatewayQuery = (name: string) =>
  queryOptions({
    queryKey: ['gateways', 'one', name],
    queryFn: ({ signal }) => read(api.GET('/api/v1/gateways/{name}', { params: { path: { name } }, signal })),
  });

/** What happened to a gateway, newest first. */
export const eventsQuery = (name: string) =>
  infiniteQueryOptions({
    queryKey: ['gateways', 'events', name],
    queryFn: ({ pageParam, signal }) =>
      read(api.GET('/api/v1/gateways/{name}/events', { params: { path: { name }, query: { before: pageParam, limit: 20 } }, signal })),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });

/** What a gateway counted, and how its reports came. */
export const countedQuery = (name: string) =>
  queryOptions({
    queryKey: ['statistics', 'gateway', name],
    queryFn: ({ signal }) => read(api.GET('/api/v1/gateways/{name}/figures', { params: { path: { name } }, signal })),
  });

/** What can be ordered of a gateway. */
export type Order = 'suspend' | 'resume' | 'retire' | 'release';

/** Gives the order. */
export const give = (name: string, order: Order, reason: string): Promise<Gateway> =>
  read(api.POST(`/api/v1/gateways/{name}/${order}`, { params: { path: { name } }, body: { reason } }));

/** Which orders a state allows. */
export function ordersIn(state: Gateway['state']): readonly Order[] {
  switch (state) {
    case 'active':
    case 'pending':
      return ['suspend', 'retire'];
    case 'quarantined':
      return ['release', 'suspend', 'retire'];
    case 'suspended':
      return ['resume', 'retire'];
    case 'retired':
      return [];
  }
}

/** How good a state is. */
export const toneOfState = (state: Gateway['state']): Tone =>
  state === 'active' ? 'good' : state === 'quarantined' ? 'bad' : state === 'pending' ? 'warn' : 'idle';

/** How good a connection is. One that is not to be heard is not lost. */
export function toneOfConnection(gateway: Pick<Gateway, 'connection' | 'state'>): Tone {
  if (gateway.state === 'retired' || gateway.state === 'suspended') return 'idle';
  return gateway.connection === 'connected' ? 'good' : gateway.connection === 'late' ? 'warn' : 'bad';
}

/** Days until the certificate ends; what is soon is worth a look, since gateways renew at half of its life. */
export function toneOfCertificate(notAfter: string | null | undefined, now: number): Tone {
  if (notAfter === null || notAfter === undefined) return 'idle';
  const left = Date.parse(notAfter) - now;
  return left <= 0 ? 'bad' : left < 2 * 86_400_000 ? 'warn' : 'good';
}
