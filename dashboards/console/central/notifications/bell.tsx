import { ActionIcon, Indicator, Menu } from '@mantine/core';
import { count, plural } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { explain } from '@frame/problem';
import { KeptLine } from '@frame/parts/Note';
import { State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { may, session } from '@frame/session';
import { useStore } from '@frame/store';
import { IconBell } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';

import { KINDS, look, notificationsQuery, placeOf, seen, unreadOf } from './data';

/** In the menu, at most; the page has the rest. */
const SHOWN = 6;

/** What is the matter, from every page: how much of it is new, and the newest of it. */
export function Bell() {
  const asked = useQuery({ ...notificationsQuery(), refetchInterval: useAskEvery() });
  const known = useStore(seen);
  const readsGateways = may(useStore(session), 'read-gateways');
  const [open, setOpen] = useState(false);
  const all = asked.data?.notifications ?? [];
  const total = asked.data?.total ?? 0;
  const unread = unreadOf(all, known).length;
  const told = unread > 0 ? plural(unread, 'new notification') : '';
  return (
    <Menu
      position="bottom-end"
      width={380}
      opened={open}
      onChange={(to) => {
        setOpen(to);
        // What was shown counts as read once it is closed, so that the new ones stay marked while it is open.
        if (!to) look(all);
      }}
    >
      <Indicator
        inline
        label={unread > 99 ? '99+' : count(unread)}
        size={16}
        offset={8}
        color="red.9"
        disabled={unread === 0}
        classNames={{ indicator: 'sg-badge' }}
      >
        <Menu.Target>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="lg"
            aria-label={`Notifications: ${unread > 0 ? `${count(unread)} new, ` : ''}${count(total)} in all`}
          >
            <IconBell size={19} stroke={1.7} aria-hidden />
          </ActionIcon>
        </Menu.Target>
      </Indicator>
      <span className="sg-hidden" role="status">
        {told}
      </span>
      <Menu.Dropdown className="sg-bell">
        <Menu.Label>{total === 0 ? 'Notifications' : plural(total, 'thing is the matter', 'things are the matter')}</Menu.Label>
        {asked.isError && asked.data === undefined && <p className="sg-bell-none">{explain(asked.error)}</p>}
        {asked.data !== undefined && <KeptLine className="sg-bell-none" of={asked} />}
        {asked.data !== undefined && total === 0 && (
          <p className="sg-bell-none">Nothing is the matter. A gateway that is lost, a refused policy, a certificate near its end or a KMS that does not answer would stand here.</p>
        )}
        {all.slice(0, SHOWN).map((one) => (
          <Menu.Item key={one.id} component={Link} {...(placeOf(one, readsGateways) as { to: '/gateways' })}>
            <span className="sg-bell-one" data-new={unreadOf([one], known).length > 0 || undefined}>
              <State tone={one.severity === 'error' ? 'bad' : 'warn'}>
                {KINDS[one.kind]}: {one.subject}
              </State>
              <small>
                {one.message} · <Time at={one.since} />
              </small>
            </span>
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item component={Link} to="/notifications">
          All notifications{total > SHOWN && `: ${count(total - SHOWN)} more`}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
