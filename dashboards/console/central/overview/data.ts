import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api } from '../api';
import { type Range, RANGES } from './route';

/** A KMS as a gateway's inventory has it. */
export interface Kms {
  readonly id: string;
  readonly provider: string;
  readonly state: string;
  readonly active: boolean;
  readonly key_versions: number;
  readonly newest_key_ms: number;
  /** Stored objects that are known to need it; absent in what was told before gateways counted them. */
  readonly objects?: number;
}

/** A backend as a gateway's inventory has it. */
export interface Backend {
  readonly name: string;
  readonly kind: string;
  /** When it was first heard of. */
  readonly added_ms: number;
  readonly buckets: number;
  readonly region: string;
}

/** What a gateway told of a storage. */
export interface Content {
  readonly kms: readonly Kms[];
  readonly backends: readonly Backend[];
}

/** Each storage behind the gateways, or behind the named ones: KMS and backends. */
export const inventoriesQuery = (gateways: readonly string[] = []) =>
  queryOptions({
    queryKey: ['statistics', 'inventories', gateways],
    queryFn: async ({ signal }) => {
      const answer = await read(api.GET('/api/v1/inventories', { params: { query: { gateway: [...gateways] } }, signal }));
      // The document leaves the content open; the protocol between gateways and Central says what is in it.
      const inventories = answer.inventories.map((inventory) => ({ ...inventory, content: inventory.content as Content }));
      return { inventories, truncated: answer.truncated };
    },
  });

/** The fleet's numbers; of the named gateways, where any is named. */
export const overviewQuery = (gateways: readonly string[]) =>
  queryOptions({
    queryKey: ['statistics', 'overview', gateways],
    queryFn: ({ signal }) => read(api.GET('/api/v1/overview', { params: { query: { gateway: [...gateways] } }, signal })),
    meta: { also: ['gateways', 'policies'] },
  });

/** What went through the gateways, up to now. */
export const seriesQuery = (range: Range, gateways: readonly string[]) =>
  queryOptions({
    queryKey: ['statistics', 'series', range, gateways],
    queryFn: ({ signal }) => {
      const to = Date.now();
      const query = { from: new Date(to - RANGES[range] * 1_000).toISOString(), to: new Date(to).toISOString(), gateway: [...gateways] };
      return read(api.GET('/api/v1/stats/series', { params: { query }, signal }));
    },
  });
