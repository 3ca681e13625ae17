import { Root } from '@frame/Frame';
import { NoPage, PageError } from '@frame/PageError';
import { createRootRoute } from '@tanstack/react-router';

import { app } from './app';

/** What is around every page. */
export const root = createRootRoute({
  component: () => <Root app={app} />,
  notFoundComponent: NoPage,
  errorComponent: PageError,
});
