import { ActionIcon, Drawer, Kbd, Menu, Text, Tooltip } from '@mantine/core';
import { useDisclosure, useHotkeys, useMediaQuery } from '@mantine/hooks';
import {
  IconDeviceDesktop,
  IconLayoutSidebarLeftCollapse,
  IconLogout,
  IconMoon,
  IconRefreshAlert,
  IconSearch,
  IconSun,
  IconUserCircle,
} from '@tabler/icons-react';
import { Link, Outlet, useRouter, useRouterState } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';

import type { Application } from './application';
import { Banner } from './Banner';
import { Mark } from './Mark';
import { ASK_MS, live } from './live';
import { explain } from './problem';
import { reach } from './reach';
import { scheme, sidebar } from './preferences';
import { end, session } from './session';
import { Sidebar } from './Sidebar';
import { useStore } from './store';
import { tell } from './tell';

const Palette = lazy(async () => ({ default: (await import('./Palette')).Palette }));

/** Bar, sidebar, page. */
export function Frame({ app }: { readonly app: Application }) {
  const wide = useStore(sidebar);
  const small = useMediaQuery('(max-width: 48em)', window.matchMedia('(max-width: 48em)').matches);
  const [drawer, toDrawer] = useDisclosure(false);
  const [palette, setPalette] = useState<'never' | 'shut' | 'open'>('never');
  const path = useRouterState({ select: (state) => state.location.pathname });
  const main = useRef<HTMLElement>(null);
  const before = useRef(path);

  useHotkeys([['mod+K', () => setPalette('open')]], []);

  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    toDrawer.close();
    // A reader of screens is told that the page is another; the wheel begins at the top.
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [path, toDrawer]);

  const toggle = () => {
    if (small) toDrawer.toggle();
    else sidebar.set(wide === 'wide' ? 'narrow' : 'wide');
  };
  const open = small ? drawer : wide === 'wide';

  return (
    <>
      <a className="sg-skip" href="#main" onClick={() => main.current?.focus()}>
        Skip to the page
      </a>
      <div className="sg-frame" data-sidebar={wide}>
        <header className="sg-bar">
          <Tooltip label={open ? 'Fold the sidebar' : 'Unfold the sidebar'}>
            <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Sidebar" aria-expanded={open} onClick={toggle}>
              <IconLayoutSidebarLeftCollapse size={20} stroke={1.7} aria-hidden />
            </ActionIcon>
          </Tooltip>
          <Link to="/" className="sg-brand">
            <Mark size={26} />
            <span>Sealgate</span>
            <small>{app.part}</small>
          </Link>
          <div className="sg-find">
            <button type="button" aria-keyshortcuts="Control+K" onClick={() => setPalette('open')}>
              <IconSearch size={16} aria-hidden />
              <span>Search pages{app.find ? ', gateways, policies' : ''}</span>
              <Kbd size="xs" aria-hidden>
                Ctrl K
              </Kbd>
            </button>
          </div>
          <Fresh />
          {app.bell?.()}
          <SchemeMenu />
          <UserMenu app={app} />
        </header>
        {!small && (
          <div className="sg-side">
            <Sidebar narrow={wide === 'narrow'} />
          </div>
        )}
        <main className="sg-main" id="main" tabIndex={-1} ref={main}>
          <Outlet />
        </main>
      </div>
      {small && (
        <Drawer opened={drawer} onClose={toDrawer.close} title="Pages" size={280} closeButtonProps={{ 'aria-label': 'Close' }}>
          <Sidebar narrow={false} />
        </Drawer>
      )}
      {palette !== 'never' && (
        <Suspense>
          <Palette app={app} opened={palette === 'open'} onClose={() => setPalette('shut')} />
        </Suspense>
      )}
    </>
  );
}

/** The bar's banner stands above the page, below the bar's landmarks. */
export function Root({ app }: { readonly app: Application }) {
  return (
    <>
      <Banner />
      <Frame app={app} />
    </>
  );
}

/** How long hints may be away before it is said: a page that has just begun is not stale. */
const UNSAID_MS = 4_000;

/** Says that what is shown is not followed live, and how old it may be. */
function Fresh() {
  const now = useStore(live);
  const well = useStore(reach).is === 'well';
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (now === 'live') return undefined;
    const timer = window.setTimeout(() => setLate(true), UNSAID_MS);
    return () => {
      window.clearTimeout(timer);
      setLate(false);
    };
  }, [now]);
  return (
    <span role="status">
      {late && well && (
        <Tooltip label={`What is shown is asked for every ${ASK_MS / 1_000} seconds, since the service gives no hints at the moment`} multiline maw={260}>
          <span className="sg-fresh">
            <IconRefreshAlert size={16} aria-hidden /> <span>Not live</span>
          </span>
        </Tooltip>
      )}
    </span>
  );
}

const SCHEMES = [
  { value: 'auto', label: 'As the system', Icon: IconDeviceDesktop },
  { value: 'light', label: 'Light', Icon: IconSun },
  { value: 'dark', label: 'Dark', Icon: IconMoon },
] as const;

function SchemeMenu() {
  const now = useStore(scheme);
  const Icon = SCHEMES.find((one) => one.value === now)?.Icon ?? IconSun;
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Appearance">
          <Icon size={19} stroke={1.7} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {SCHEMES.map((one) => (
          <Menu.Item
            key={one.value}
            leftSection={<one.Icon size={16} aria-hidden />}
            fw={one.value === now ? 600 : undefined}
            aria-current={one.value === now}
            onClick={() => scheme.set(one.value)}
          >
            {one.label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function UserMenu({ app }: { readonly app: Application }) {
  const now = useStore(session);
  const router = useRouter();
  if (now.is !== 'in' && now.is !== 'over') return null;
  const leave = async () => {
    try {
      await app.leave();
    } catch (error) {
      // The cookie may still hold: say so rather than pretend.
      tell.failed('You are not logged out', explain(error));
      return;
    }
    await router.navigate({ to: '/' });
    end();
  };
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Account ${now.who.name}`}>
          <IconUserCircle size={21} stroke={1.7} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          <Text size="sm" fw={600} c="var(--sg-text)" truncate>
            {now.who.name}
          </Text>
          {now.who.role}
        </Menu.Label>
        {app.account?.()}
        <Menu.Divider />
        <Menu.Item leftSection={<IconLogout size={16} aria-hidden />} onClick={leave}>
          Log out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
