import { Select, Stack } from '@mantine/core';
import { useAskEvery } from '@frame/live';
import { Shown } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { keepPreviousData, useQuery } from '@tanstack/react-query';

import { listed, namesQuery } from '../gateways/data';
import { Graphs } from './graphs';
import { overviewQuery } from './data';
import { effective } from './choice';
import { GatewayFilter } from './filter';
import { NAMES, overviewRoute, type Range, RANGES } from './route';
import { Tiles } from './tiles';

const ALL = Object.keys(RANGES) as Range[];

/** The fleet at a glance. */
export function Overview() {
  const search = overviewRoute.useSearch();
  const navigate = overviewRoute.useNavigate();
  const names = useQuery(namesQuery(''));
  const chosen = listed(search.gateways);
  const total = names.data?.total;
  // Of a fleet that does not fit one question nobody checks every gateway by hand.
  const all = names.data && names.data.gateways.length === total ? names.data.gateways.map((one) => one.name) : [];
  const only = effective(all, chosen);
  const range = search.range ?? '24h';
  const overview = useQuery({ ...overviewQuery(only), refetchInterval: useAskEvery(), placeholderData: keepPreviousData });
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });

  return (
    <Page
      title="Overview"
      actions={
        <>
          <Select
            aria-label="Range of the graphs"
            w={160}
            allowDeselect={false}
            value={range}
            data={ALL.map((value) => ({ value, label: NAMES[value] }))}
            onChange={(value) => set({ range: ALL.find((one) => one === value) })}
          />
          <GatewayFilter chosen={chosen} active={only} total={total} onChange={(to) => set({ gateways: to.join(',') || undefined })} />
        </>
      }
    >
      <Stack gap="sm">
        <Shown of={overview} what="the overview" lines={8}>
          {(now) => <Tiles of={now} only={only} />}
        </Shown>
        <Graphs range={range} only={only} />
      </Stack>
    </Page>
  );
}
