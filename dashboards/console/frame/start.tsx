import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './tokens.css';
import './frame.css';

import { MantineProvider } from '@mantine/core';
import { Notifications, notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { type AnyRouter, RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { type Application, ApplicationName } from './application';
import { keepFocus } from './focus';
import { Gate } from './Gate';
import { nonce } from './nonce';
import { scheme } from './preferences';
import { watchPrinting } from './printing';
import { whenBack } from './reach';
import { session } from './session';
import { useStore } from './store';
import { theme, variables } from './theme';

/** What was asked for lately, and asked for again when it may have changed. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Whether the service is there is found out in one place (reach.ts), not by each question for itself.
      retry: false,
      networkMode: 'always',
      staleTime: 5_000,
      refetchOnWindowFocus: true,
    },
    mutations: { retry: false, networkMode: 'always' },
  },
});

whenBack(() => void queries.invalidateQueries());

// What one person saw is not the next one's to see.
session.follow(() => {
  if (session.get().is !== 'out') return;
  queries.clear();
  notifications.cleanQueue();
  notifications.clean();
});

function Themed({ app, router }: { readonly app: Application; readonly router: AnyRouter }) {
  const wanted = useStore(scheme);
  return (
    <MantineProvider
      theme={theme}
      cssVariablesResolver={variables}
      defaultColorScheme={wanted}
      forceColorScheme={wanted === 'auto' ? undefined : wanted}
      getStyleNonce={nonce}
    >
      <Notifications position="bottom-right" autoClose={6_000} limit={4} />
      <ApplicationName value={app.name}>
        <Gate app={app}>
          <RouterProvider router={router} />
        </Gate>
      </ApplicationName>
    </MantineProvider>
  );
}

/** Shows the application. */
export function start(app: Application, router: AnyRouter): void {
  // Of the library's own sheets that are made at run time, such as the one that holds the page still under a dialog.
  setNonce(nonce());
  // Before anything is painted: the library sets it after, and a dark page would begin with a flash.
  const light = scheme.get() === 'light' || (scheme.get() === 'auto' && !window.matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset['mantineColorScheme'] = light ? 'light' : 'dark';
  keepFocus();
  watchPrinting();
  const root = document.getElementById('root');
  if (!root) throw new Error('index.html has no root');
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <Themed app={app} router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
