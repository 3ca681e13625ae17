import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** A storage behind the gateway. */
export type Backend = Schemas['Backend'];

/** Each question makes the gateway look at every storage, so it is asked at its own pace. */
export const EVERY_MS = 15_000;

/** Every storage. */
export const backendsQuery = () => queryOptions({ queryKey: ['backends'], queryFn: ({ signal }) => read(api.GET('/api/v1/backends', { signal })) });
