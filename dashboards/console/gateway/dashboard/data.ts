import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api } from '../api';

/** Troubles come without an event, so it is asked at a pace of its own besides. */
const EVERY_MS = 10_000;

/** What the gateway did, and how its parts stand. */
export const overviewQuery = () =>
  queryOptions({
    queryKey: ['statistics', 'overview'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/overview', { signal })),
    meta: { also: ['group', 'policies', 'central'] },
    refetchInterval: EVERY_MS,
  });

/** What was counted in the last minutes: by ten seconds up to an hour, by five minutes beyond. */
export const seriesQuery = (minutes: number) =>
  queryOptions({
    queryKey: ['series', minutes],
    queryFn: ({ signal }) => read(api.GET('/api/v1/series', { params: { query: { minutes } }, signal })),
    // A point takes ten seconds to come about.
    refetchInterval: EVERY_MS,
  });
