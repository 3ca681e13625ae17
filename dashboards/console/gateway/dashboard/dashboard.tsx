import { Select, Stack } from '@mantine/core';
import { Note, Shown } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { Time } from '@frame/parts/Time';
import { useQuery } from '@tanstack/react-query';

import { CentralLink } from './central';
import { overviewQuery } from './data';
import { Graphs } from './graphs';
import { Outcomes } from './outcomes';
import { dashboardRoute, NAMES, type Range, RANGES } from './route';
import { Tiles } from './tiles';

const ALL = Object.keys(RANGES) as Range[];

/** What a part of the gateway is called where something is wrong with it. */
const PARTS: Readonly<Record<string, string>> = {
  group: 'Settings of the group',
  central: 'Central',
  certificate: 'Certificate',
  policies: 'Policies',
  statistics: 'Statistics',
  jobs: 'Background work',
};

/** How the gateway is, and what it did. */
export function Dashboard() {
  const search = dashboardRoute.useSearch();
  const navigate = dashboardRoute.useNavigate();
  const overview = useQuery(overviewQuery());
  const range = search.range ?? '15m';
  return (
    <Page
      title="Dashboard"
      lead={
        overview.data && (
          <>
            Counted by this gateway since its local store was made; it was started <Time at={overview.data.started} />.
          </>
        )
      }
      actions={
        <Select
          aria-label="Range of the graphs"
          w={170}
          allowDeselect={false}
          value={range}
          data={ALL.map((value) => ({ value, label: NAMES[value] }))}
          onChange={(value) => void navigate({ search: { range: ALL.find((one) => one === value) }, replace: true })}
        />
      }
    >
      <Stack gap="sm">
        <Shown of={overview} what="the dashboard" lines={8}>
          {(now) => (
            <>
              {!now.writable && (
                <Note tone="bad" title="Writes are refused">
                  This gateway does not take anything in until what is named below is mended. Reading goes on.
                </Note>
              )}
              {now.troubles.map((trouble) => (
                <Note key={`${trouble.part}${trouble.message}`} tone="bad" title={PARTS[trouble.part] ?? trouble.part.replace(/^kms /, 'KMS ')}>
                  {trouble.message}
                </Note>
              ))}
              <Tiles of={now} />
            </>
          )}
        </Shown>
        <Graphs range={range} />
        {overview.data && (
          <>
            <div id="outcomes" className="sg-anchor">
              <Outcomes of={overview.data.outcomes} />
            </div>
            <div id="central" className="sg-anchor">
              <CentralLink of={overview.data.central} />
            </div>
          </>
        )}
      </Stack>
    </Page>
  );
}
