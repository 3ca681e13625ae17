import type { LinkProps } from '@tanstack/react-router';
import type { ComponentType, ReactNode } from 'react';
import { createContext } from 'react';

import type { Who } from './session';

/** What a route says about its page; the sidebar and the search are made of it. */
export interface PageInfo {
  readonly title: string;
  /** Under which heading of the sidebar; absent: at the top. */
  readonly group?: string;
  /** Absent: the page is not in the sidebar. */
  readonly icon?: ComponentType<{ size?: number | string; stroke?: number | string; 'aria-hidden'?: boolean }>;
  /** Who sees it offered; the service decides who may. */
  readonly needs?: string;
  /** Further words that it is found by. */
  readonly words?: string;
}

declare module '@tanstack/react-router' {
  interface StaticDataRouteOption {
    page?: PageInfo;
  }
}

/** Something that the search over the application finds. */
export interface Found {
  readonly id: string;
  readonly label: string;
  readonly description: string;
  readonly to: LinkProps['to'];
  readonly params?: Record<string, string>;
}

/** What the frame must know of an application. */
export interface Application {
  /** As the title of the browser's tab has it. */
  readonly name: string;
  /** Beside the product's name. */
  readonly part: string;
  /** The fields of the log-in. */
  readonly logIn: { readonly name: boolean; readonly secret: string; readonly hint: string };
  /** Topics of the service's events: the first words of query keys. */
  readonly topics: readonly string[];
  /** Who is logged in; null where nobody is. */
  readonly who: () => Promise<Who | null>;
  readonly enter: (name: string, secret: string) => Promise<Who>;
  readonly leave: () => Promise<void>;
  /** What besides pages the search finds. */
  readonly find?: (text: string, signal: AbortSignal) => Promise<readonly Found[]>;
  /** What stands in the bar: notifications. */
  readonly bell?: () => ReactNode;
  /** Under the name in the menu of the user. */
  readonly account?: () => ReactNode;
}

/** For titles. */
export const ApplicationName = createContext('Sealgate');
