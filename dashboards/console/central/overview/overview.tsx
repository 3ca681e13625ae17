import { useAskEvery } from '@frame/live';
import { Page } from '@frame/parts/Page';
import { Shown } from '@frame/parts/Note';
import { useQuery } from '@tanstack/react-query';

import { figuresQuery } from '../figures/data';
import { coverageQuery } from '../coverage/data';
import { convergenceQuery } from '../policies/data';
import { GatewayFilter } from './filter';
import { inventoriesQuery } from './data';
import { overviewRoute } from './route';
import { Tiles } from './tiles';

/** The fleet at a glance. */
export function Overview() {
  const search = overviewRoute.useSearch();
  const navigate = overviewRoute.useNavigate();
  const every = { refetchInterval: useAskEvery() };
  const convergence = useQuery({ ...convergenceQuery(), ...every });
  const figures = useQuery({ ...figuresQuery({}), ...every });
  const coverage = useQuery({ ...coverageQuery(), ...every });
  const inventories = useQuery({ ...inventoriesQuery(), ...every });
  const chosen = (search.gateways ?? '').split(',').filter((name) => name !== '');

  return (
    <Page
      title="Overview"
      actions={
        <GatewayFilter
          all={(convergence.data?.by_gateway ?? []).map((gateway) => gateway.name)}
          chosen={chosen}
          onChange={(names) => void navigate({ search: { ...search, gateways: names.join(',') || undefined }, replace: true })}
        />
      }
    >
      <Shown of={convergence} what="the overview" lines={10}>
        {(progress) => (
          <Tiles
            chosen={chosen}
            convergence={progress}
            figures={figures}
            coverage={coverage}
            inventories={inventories}
          />
        )}
      </Shown>
    </Page>
  );
}
