import { flag, text } from '@frame/search';
import { IconFiles } from '@tabler/icons-react';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../root';

export interface Search {
  readonly bucket?: string;
  /** Keys begin so: the folder that is open. */
  readonly prefix?: string;
  /** Every key, without folders. */
  readonly flat?: true;
  /** The object whose status is shown. */
  readonly key?: string;
  /** Of the buckets, where none is chosen: what their names have in them, and their order. */
  readonly q?: string;
  readonly sort?: string;
}

export const objectsRoute = createRoute({
  getParentRoute: () => root,
  path: '/objects',
  validateSearch: (raw: Record<string, unknown>): Search => ({ bucket: text(raw, 'bucket'), prefix: text(raw, 'prefix'), flat: flag(raw, 'flat'), key: text(raw, 'key'), q: text(raw, 'q'), sort: text(raw, 'sort') }),
  staticData: { page: { title: 'Objects', group: 'Storage', icon: IconFiles, words: 'browse upload download delete files status encrypted' } },
  component: lazyRouteComponent(() => import('./objects'), 'Objects'),
});
