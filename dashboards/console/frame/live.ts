import type { Query, QueryClient } from '@tanstack/react-query';

import { probe } from './reach';
import { Store, useStore } from './store';

declare module '@tanstack/react-query' {
  interface Register {
    queryMeta: {
      /** Further topics whose events make it stale, besides the first word of its key. */
      readonly also?: readonly string[];
    };
  }
}

/** How the page learns that something changed. */
export type Live = 'live' | 'asking';

/** The one of this page. */
export const live = new Store<Live>('asking');

const EVENTS = '/api/v1/events';
const SHORTEST_MS = 1_000;
const LONGEST_MS = 30_000;
/** Where no event can come, pages ask this often. */
export const ASK_MS = 10_000;
/** And this often where they do: that a gateway is late or lost comes of time, and nothing happens then. */
const LIVE_MS = 15_000;
/** A service that hangs sends no event either: it is asked this often whether it is there. */
const SIGN_OF_LIFE_MS = 10_000;
/** From the answer to one hint to the next question of the same topic. */
const SPACING_MS = 1_000;
/** More than these would be read without end in a fleet where something always changes. */
const LONG_PAGES = 3;

/** Whether so much of a list is loaded that it is asked for at intervals and not with each hint. */
export function isLong({ state: { data } }: { readonly state: { readonly data: unknown } }): boolean {
  if (data === undefined || data === null) return false;
  return typeof data === 'object' && 'pages' in data && Array.isArray(data.pages) && data.pages.length > LONG_PAGES;
}

/** Whether an event of the topic makes a query stale. */
const concerns = (topic: string) => (query: Query) =>
  (query.queryKey[0] === topic || query.meta?.also?.includes(topic) === true) && !isLong(query);

/** Refreshes topic by topic: what comes while a topic is being asked for is asked for once more after it. */
function refresher(queries: QueryClient): (topic: string) => void {
  const busy = new Set<string>();
  const again = new Set<string>();
  const run = async (topic: string) => {
    busy.add(topic);
    do {
      again.delete(topic);
      // What is under way already may have been answered before what the hint is about.
      if (queries.isFetching({ predicate: concerns(topic) }) > 0) again.add(topic);
      // A question that is under way is not broken off: in a busy fleet none would ever be answered.
      await queries.invalidateQueries({ predicate: concerns(topic) }, { cancelRefetch: false });
      await new Promise((go) => window.setTimeout(go, SPACING_MS));
    } while (again.has(topic));
    busy.delete(topic);
  };
  return (topic) => {
    if (busy.has(topic)) again.add(topic);
    else void run(topic);
  };
}

/**
 * Follows the service's hints: an event named after a topic makes all that is shown of the topic be asked for anew.
 * They carry no data, so a lost one costs time, never truth; whatever they miss is asked for on the return. While the
 * page is hidden none is listened for.
 */
export function follow(queries: QueryClient, topics: readonly string[]): () => void {
  let source: EventSource | undefined;
  let timer: number | undefined;
  let pause = SHORTEST_MS;

  const refresh = refresher(queries);
  const open = () => {
    source = new EventSource(EVENTS);
    source.onopen = () => {
      pause = SHORTEST_MS;
      live.set('live');
      topics.forEach(refresh);
    };
    source.onerror = () => {
      live.set('asking');
      void probe();
      // The browser tries again by itself, save where the service refused: then the session may be over, and asking
      // for anything finds out.
      if (source?.readyState !== EventSource.CLOSED) return;
      topics.forEach(refresh);
      timer = window.setTimeout(open, pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, LONGEST_MS);
    };
    for (const topic of topics) source.addEventListener(topic, () => refresh(topic));
  };
  const close = () => {
    window.clearTimeout(timer);
    source?.close();
    source = undefined;
    live.set('asking');
  };
  // A browser has six connections for all pages of a service. One that nobody sees gives its own back, and asks for what
  // it missed when it is seen again.
  const look = () => {
    if (document.hidden) close();
    else if (source === undefined) open();
  };
  document.addEventListener('visibilitychange', look);
  look();
  const alive = window.setInterval(() => {
    if (!document.hidden) void probe();
  }, SIGN_OF_LIFE_MS);
  return () => {
    document.removeEventListener('visibilitychange', look);
    window.clearInterval(alive);
    close();
  };
}

/** `refetchInterval` of what is shown live. */
export function useAskEvery(): number {
  return useStore(live) === 'live' ? LIVE_MS : ASK_MS;
}

/** The same of a list that is read page by page. */
export function useAskListEvery(): (query: Parameters<typeof isLong>[0]) => number {
  const every = useAskEvery();
  return (query) => (isLong(query) ? LIVE_MS : every);
}
