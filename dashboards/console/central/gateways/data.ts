import { read } from '@frame/api';
import type { Tone } from '@frame/parts/State';
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';
import type { GatewaySearch } from './route';

/** A gateway as Central sees it. */
export type Gateway = Schemas['Gateway'];

/** Rows of one page of the table. */
const PAGE = 200;

const page = (after: string | undefined, limit: number, signal?: AbortSignal) =>
  read(api.GET('/api/v1/gateways', { params: { query: { after, limit } }, signal }));

/** Whether the filter lets a gateway through. */
export function isIn(search: GatewaySearch, gateway: Gateway): boolean {
  const q = search.q?.toLowerCase() ?? '';
  const labels = Object.entries(gateway.labels).map(([key, value]) => `${key}=${value}`);
  return (
    [gateway.name, ...labels].some((text) => text.toLowerCase().includes(q)) &&
    (search.state === undefined || gateway.state === search.state) &&
    (search.connection === undefined || gateway.connection === search.connection) &&
    (search.refusing === undefined || (gateway.refusal !== null && gateway.refusal !== undefined)) &&
    (search.gateways === undefined || search.gateways.split(',').includes(gateway.name)) &&
    (search.behind === undefined || gateway.effective_revision < gateway.revision)
  );
}

/** The gateways, page by page in the order of their names. */
export const gatewaysQuery = () =>
  infiniteQueryOptions({
    queryKey: ['gateways', 'list'],
    queryFn: ({ pageParam, signal }) => page(pageParam, PAGE, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });

/** Every gateway that the filter finds, for an export. */
export async function everyGateway(search: GatewaySearch): Promise<Gateway[]> {
  const found: Gateway[] = [];
  let after: string | undefined;
  do {
    const part = await page(after, 1_000);
    found.push(...part.gateways.filter((one) => isIn(search, one)));
    after = part.next ?? undefined;
  } while (after !== undefined);
  return found;
}

/** One gateway. */
export const gatewayQuery = (name: string) =>
  queryOptions({
    queryKey: ['gateways', 'one', name],
    queryFn: ({ signal }) => read(api.GET('/api/v1/gateways/{name}', { params: { path: { name } }, signal })),
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
