import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** Objects that were brought from another place than where they were encrypted. */
export type FormerPlace = Schemas['FormerPlace'];

/** Settings of the group. */
export const settingsQuery = () =>
  queryOptions({ queryKey: ['group', 'settings'], queryFn: ({ signal }) => read(api.GET('/api/v1/settings', { signal })) });

/** What this gateway is. */
export const infoQuery = () => queryOptions({ queryKey: ['group', 'info'], queryFn: ({ signal }) => read(api.GET('/api/v1/info', { signal })) });
