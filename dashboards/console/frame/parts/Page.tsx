import { Title } from '@mantine/core';
import { Link, type LinkProps } from '@tanstack/react-router';
import { type ReactNode, useContext, useEffect } from 'react';

import { ApplicationName } from '../application';
import { exact } from '../format';
import { printing } from '../printing';
import { useStore } from '../store';

/** A page above this one. */
export interface Crumb {
  readonly title: string;
  readonly to: LinkProps['to'];
}

interface Props {
  readonly title: string;
  /** What the page is for, in a sentence. */
  readonly lead?: ReactNode;
  /** Of a detail page: what it belongs to. */
  readonly crumbs?: readonly Crumb[];
  /** What can be done here. */
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

/** A page: its heading, what it is for, what can be done, and the rest. */
export function Page({ title, lead, crumbs, actions, children }: Props) {
  const name = useContext(ApplicationName);
  useEffect(() => {
    document.title = `${title} · ${name}`;
  }, [title, name]);
  return (
    <div className="sg-page">
      <div className="sg-head">
        <div>
          {crumbs && (
            <nav aria-label="Breadcrumbs">
              <ol className="sg-crumbs">
                {crumbs.map((crumb) => (
                  <li key={crumb.title}>
                    <Link to={crumb.to}>{crumb.title}</Link>
                  </li>
                ))}
                <li aria-current="page">{title}</li>
              </ol>
            </nav>
          )}
          <Title order={1} tabIndex={-1} id="page-title">
            {title}
          </Title>
          {lead && <p>{lead}</p>}
        </div>
        {actions && <div className="sg-actions">{actions}</div>}
      </div>
      {children}
      <Printed />
    </div>
  );
}

/** On paper: what was looked at, and when. The address has the filter. */
function Printed() {
  const now = useStore(printing);
  return now && <p className="sg-printed">{`${now.where}, as of ${exact(now.at)}`}</p>;
}

interface PanelProps {
  readonly title: string;
  /** Beside the title. */
  readonly aside?: ReactNode;
  /** The content brings its own margins: a table. */
  readonly flush?: boolean;
  readonly children: ReactNode;
}

/** A part of a page under a heading of its own. */
export function Panel({ title, aside, flush = false, children }: PanelProps) {
  return (
    <section className="sg-panel" aria-label={title}>
      <header>
        <Title order={2}>{title}</Title>
        {aside}
      </header>
      {flush ? children : <div className="sg-body">{children}</div>}
    </section>
  );
}

/** Names and their values. */
export function Pairs({ of }: { readonly of: readonly (readonly [name: string, value: ReactNode])[] }) {
  return (
    <dl className="sg-pairs">
      {of.map(([name, value]) => (
        <Pair key={name} name={name} value={value} />
      ))}
    </dl>
  );
}

function Pair({ name, value }: { readonly name: string; readonly value: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}
