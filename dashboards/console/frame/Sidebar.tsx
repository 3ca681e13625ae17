import { Tooltip } from '@mantine/core';
import { Link } from '@tanstack/react-router';

import { type Offered, useOffered } from './pages';

/** All functions, by group. */
export function Sidebar({ narrow }: { readonly narrow: boolean }) {
  const pages = useOffered();
  const groups = [...new Set(pages.map((page) => page.group))];
  return (
    <nav className="sg-nav" aria-label="Pages">
      {groups.map((group) => (
        <div key={group ?? ''}>
          {group !== undefined && <h2>{group}</h2>}
          <ul>
            {pages
              .filter((page) => page.group === group)
              .map((page) => (
                <Entry key={page.path} page={page} narrow={narrow} />
              ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

function Entry({ page, narrow }: { readonly page: Offered; readonly narrow: boolean }) {
  const Icon = page.icon;
  return (
    <li>
      <Tooltip label={page.title} position="right" disabled={!narrow}>
        <Link to={page.path} activeOptions={{ exact: page.path === '/', includeSearch: false }}>
          {Icon && <Icon size={19} stroke={1.7} aria-hidden />}
          <span>{page.title}</span>
        </Link>
      </Tooltip>
    </li>
  );
}
