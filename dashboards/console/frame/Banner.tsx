import { Button } from '@mantine/core';
import { IconCloudOff, IconDatabaseOff } from '@tabler/icons-react';
import { useContext } from 'react';

import { ApplicationName } from './application';
import { Time } from './parts/Time';
import { probe, reach } from './reach';
import { useStore } from './store';

/** Says that the service cannot be reached or cannot serve, for as long as it is so. */
export function Banner() {
  const now = useStore(reach);
  const name = useContext(ApplicationName);
  if (now.is === 'well') return null;
  const since = <Time at={new Date(now.since).toISOString()} />;
  return (
    <div className="sg-banner" data-tone="bad" role="alert">
      {now.is === 'away' ? <IconCloudOff size={18} aria-hidden /> : <IconDatabaseOff size={18} aria-hidden />}
      <span style={{ flex: 1 }}>
        {now.is === 'away' ? `${name} does not answer` : `${name} cannot serve: ${now.detail}`} (since {since}). What you
        see is as it was then; what you typed stays. The page goes on by itself when it is back.
      </span>
      <Button size="compact-sm" variant="default" onClick={() => void probe()}>
        Try now
      </Button>
    </div>
  );
}
