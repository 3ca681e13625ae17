import { type AnyRouter, useRouter } from '@tanstack/react-router';

import type { PageInfo } from './application';
import { may, session } from './session';
import { useStore } from './store';

/** A page that can be offered. */
export interface Offered extends PageInfo {
  readonly path: string;
}

/** The pages with a place in the sidebar, in the order of the route tree. */
export function pagesOf(router: AnyRouter): readonly Offered[] {
  const routes = Object.values(router.routesById);
  return routes.flatMap((route) => {
    const page = route.options.staticData?.page;
    return page?.icon ? [{ ...page, path: route.fullPath }] : [];
  });
}

/** Those of them that the person who is logged in may see. */
export function useOffered(): readonly Offered[] {
  const router = useRouter();
  const now = useStore(session);
  return pagesOf(router).filter((page) => may(now, page.needs));
}
