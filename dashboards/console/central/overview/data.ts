import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api } from '../api';

/** A KMS as a gateway's inventory has it. */
export interface Kms {
  readonly id: string;
  readonly provider: string;
  readonly state: string;
  readonly active: boolean;
  readonly key_versions: number;
  readonly newest_key_ms: number;
}

/** A backend as a gateway's inventory has it. */
export interface Backend {
  readonly name: string;
  readonly kind: string;
  readonly added_ms: number;
  readonly buckets: number;
  readonly region: string;
}

/** What a gateway told of a storage. */
export interface Content {
  readonly kms: readonly Kms[];
  readonly backends: readonly Backend[];
}

/** Each storage behind the gateways: KMS and backends. */
export const inventoriesQuery = () =>
  queryOptions({
    queryKey: ['statistics', 'inventories'],
    queryFn: async ({ signal }) => {
      const answer = await read(api.GET('/api/v1/inventories', { signal }));
      // The document leaves the content open; the protocol between gateways and Central says what is in it.
      return answer.inventories.map((inventory) => ({ ...inventory, content: inventory.content as Content }));
    },
  });
