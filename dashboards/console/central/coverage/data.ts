import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** How much of a bucket is encrypted. */
export type BucketCoverage = Schemas['BucketCoverage'];

/** The buckets of every storage, or of those behind the named gateways, whose names have the text in them. */
export const coverageQuery = (gateways: readonly string[] = [], bucket = '') =>
  queryOptions({
    queryKey: ['statistics', 'coverage', gateways, bucket],
    queryFn: ({ signal }) => read(api.GET('/api/v1/coverage', { params: { query: { gateway: [...gateways], bucket } }, signal })),
    // The numbers are of the inventories; what asks for encryption is of the policies.
    meta: { also: ['policies'] },
  });
