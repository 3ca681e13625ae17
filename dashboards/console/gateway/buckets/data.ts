import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** A bucket, its switch, and what becomes of new objects in it. */
export type Bucket = Schemas['BucketStatus'];

/** Every bucket that clients see. */
export const bucketsQuery = () =>
  queryOptions({
    queryKey: ['group', 'buckets'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/buckets', { signal })),
    // Policies are among the reasons, and objects are counted.
    meta: { also: ['policies', 'statistics'] },
  });
