import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** How much of a bucket is encrypted. */
export type BucketCoverage = Schemas['BucketCoverage'];

/** Every bucket of every storage. */
export const coverageQuery = () =>
  queryOptions({
    queryKey: ['statistics', 'coverage'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/coverage', { signal })),
  });
