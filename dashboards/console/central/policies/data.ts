import { read, readTagged } from '@frame/api';
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';
import type { MODES, REACHED } from './route';

/** How far the gateways are with the newest revision: numbers, and a page of them. */
export type Convergence = Schemas['Convergence'];

/** How far one of them is. */
export type GatewayProgress = Schemas['GatewayProgress'];

/** What rows are asked for. */
interface Rows {
  readonly progress?: (typeof REACHED)[number] | undefined;
  readonly after?: string | undefined;
  readonly limit?: number;
}

const convergence = (gateways: readonly string[], rows: Rows, signal?: AbortSignal): Promise<Convergence> =>
  read(api.GET('/api/v1/convergence', { params: { query: { gateway: [...gateways], ...rows } }, signal }));

/** How far the gateways, or the named ones, have come with the newest revision. */
export const convergenceQuery = (gateways: readonly string[] = []) =>
  queryOptions({
    queryKey: ['gateways', 'convergence', gateways],
    queryFn: ({ signal }) => convergence(gateways, { limit: 0 }, signal),
    meta: { also: ['policies'] },
  });

/** The same with at most `most` of those that have not come to the end, refusals first. */
export const waitingQuery = (gateways: readonly string[], most: number) =>
  queryOptions({
    queryKey: ['gateways', 'convergence', gateways, most],
    queryFn: async ({ signal }) => {
      const refused = await convergence(gateways, { progress: 'refused', limit: most }, signal);
      const left = most - refused.by_gateway.length;
      if (left === 0 || refused.effective + refused.refused === refused.gateways) return refused;
      const waiting = await convergence(gateways, { progress: 'waiting', limit: left }, signal);
      return { ...waiting, by_gateway: [...refused.by_gateway, ...waiting.by_gateway] };
    },
    meta: { also: ['policies'] },
  });

/** Rows of the first page, which is there at once, and of each further one. */
const FIRST = 100;
const FURTHER = 500;

/** Gateway by gateway, page by page in the order of their names. */
export const progressQuery = (gateways: readonly string[], progress: (typeof REACHED)[number] | undefined) =>
  infiniteQueryOptions({
    queryKey: ['gateways', 'progress', gateways, progress ?? 'any'],
    queryFn: ({ pageParam, signal }) =>
      convergence(gateways, { progress, after: pageParam, limit: pageParam === undefined ? FIRST : FURTHER }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    meta: { also: ['policies'] },
  });

/** All of them, for an export. */
export async function everyProgress(gateways: readonly string[], progress: (typeof REACHED)[number] | undefined): Promise<GatewayProgress[]> {
  const found: GatewayProgress[] = [];
  let after: string | undefined;
  do {
    const part = await convergence(gateways, { progress, after });
    found.push(...part.by_gateway);
    after = part.next ?? undefined;
  } while (after !== undefined);
  return found;
}

/** The policies whose names or descriptions have the text in them, of that mode, with their hits. */
export const policiesQuery = (q = '', mode?: (typeof MODES)[number]) =>
  queryOptions({
    queryKey: ['policies', 'list', q, mode ?? 'any'],
    queryFn: async ({ signal }) => {
      const found: Schemas['Line'][] = [];
      let after: string | undefined;
      let total: number;
      do {
        const part = await read(api.GET('/api/v1/policies', { params: { query: { q, mode, after } }, signal }));
        found.push(...part.policies);
        total = part.total;
        after = part.next ?? undefined;
      } while (after !== undefined);
      return { policies: found, total };
    },
    // Hits are counted by the gateways.
    meta: { also: ['statistics'] },
  });

/** One policy, with the tag that an edit needs. */
export const policyQuery = (name: string) =>
  queryOptions({
    queryKey: ['policies', 'one', name],
    queryFn: ({ signal }) => readTagged(api.GET('/api/v1/policies/{name}', { params: { path: { name } }, signal })),
  });

/** Revisions, newest first. */
export const historyQuery = () =>
  infiniteQueryOptions({
    queryKey: ['policies', 'history'],
    queryFn: ({ pageParam, signal }) =>
      read(api.GET('/api/v1/policy-set/revisions', { params: { query: { before: pageParam, limit: 100 } }, signal })),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });

/** What a field of a policy was and is. */
export interface FieldChange {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** How a policy differs between two revisions. */
export interface PolicyDiff {
  readonly name: string;
  readonly change: 'added' | 'changed' | 'removed';
  readonly fields: readonly FieldChange[];
  /** A unified diff of its text. */
  readonly text: string;
}

/** How two revisions differ. */
export const diffQuery = (from: number, to: number) =>
  queryOptions({
    queryKey: ['policies', 'diff', from, to],
    queryFn: async ({ signal }) => {
      const answer = await read(api.GET('/api/v1/policy-set/diff', { params: { query: { from, to } }, signal }));
      // The document leaves it open; crates/policy/src/diff.rs says what is in it.
      return answer as unknown as { readonly policies: readonly PolicyDiff[] };
    },
    staleTime: Infinity,
  });

/** Why a policy does or does not apply to an object. */
export interface PolicyExplanation {
  readonly uid: string;
  readonly name: string;
  readonly mode: string;
  readonly effect: string;
  readonly priority: number;
  readonly applies: boolean;
  readonly recorded: boolean;
  readonly reason: string;
  readonly message: string;
}

/** How a set decides on an object, and why. */
export interface Explanation {
  readonly revision: { readonly number: number };
  readonly decision: { readonly verdict: 'pass' | 'encrypt' | 'deny' } & Readonly<Record<string, unknown>>;
  readonly policies: readonly PolicyExplanation[];
}

/** What was found wrong, or worth a second look. */
export type Issue = Schemas['Issue'];
