import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** A KMS of the group. */
export type Kms = Schemas['Kms'];

/** Every KMS. */
export const kmsQuery = () =>
  queryOptions({
    queryKey: ['group', 'kms'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/kms', { signal })),
    // The objects that need each are counted.
    meta: { also: ['statistics'] },
  });
