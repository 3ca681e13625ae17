import { Title } from '@mantine/core';
import type { LinkProps } from '@tanstack/react-router';
import type { ReactNode } from 'react';

import { Way } from './Way';

interface FigureProps {
  readonly name: string;
  readonly value: ReactNode;
  /** Below: what else is to be said of it. */
  readonly children?: ReactNode;
}

/** A number under its name. */
export function Figure({ name, value, children }: FigureProps) {
  return (
    <section className="sg-tile" aria-label={name}>
      <Title order={2}>{name}</Title>
      <div className="sg-big">{value}</div>
      <div className="sg-below">{children}</div>
    </section>
  );
}

interface TileProps {
  readonly name: string;
  readonly value: string;
  readonly link: Pick<LinkProps, 'to' | 'search' | 'hash'>;
  /** What the page behind it needs. */
  readonly needs?: string;
  /** Below: what else is to be said of it. */
  readonly children?: ReactNode;
}

/** The same, and it leads to the rows that it is made of. */
export function Tile({ name, value, link, needs, children }: TileProps) {
  return (
    <Figure
      name={name}
      value={
        <Way needs={needs} {...link}>
          {value}
        </Way>
      }
    >
      {children}
    </Figure>
  );
}
