import { flushSync } from 'react-dom';

import { Store } from './store';

/** What is being printed, and since when; nothing where the page is on the screen. */
export const printing = new Store<{ readonly at: number; readonly where: string } | undefined>(undefined);

/**
 * Follows the browser to paper and back. One for the whole page: what comes to be seen while it is printed has the form
 * for paper too. Drawn before the browser goes on, since it takes the page as it is then.
 */
export function watchPrinting(): void {
  const { dataset } = document.documentElement;
  let scheme: string | undefined;
  window.addEventListener('beforeprint', () => {
    // Paper is white, whatever the screen has. Told again, it is light already.
    if (printing.get() === undefined) scheme = dataset['mantineColorScheme'];
    dataset['mantineColorScheme'] = 'light';
    flushSync(() => printing.set({ at: Date.now(), where: window.location.href }));
  });
  window.addEventListener('afterprint', () => {
    if (printing.get() === undefined) return;
    dataset['mantineColorScheme'] = scheme;
    flushSync(() => printing.set(undefined));
  });
}
