import type { QueryClient } from '@tanstack/react-query';

import { Store, useStore } from './store';

/** How the page learns that something changed. */
export type Live = 'live' | 'asking';

/** The one of this page. */
export const live = new Store<Live>('asking');

declare module '@tanstack/react-query' {
  interface Register {
    /** `also`: further topics that make a query stale, besides the first word of its key. */
    queryMeta: { readonly also?: readonly string[] };
  }
}

const EVENTS = '/api/v1/events';
const SHORTEST_MS = 1_000;
const LONGEST_MS = 30_000;
/** Where no event can come, pages ask this often. */
const ASK_MS = 10_000;
/** And this often where they do: that a gateway is late or lost comes of time, and nothing happens then. */
const LIVE_MS = 15_000;

/**
 * Follows the service's hints: an event named after a topic makes all that is shown of the topic be asked for anew.
 * They carry no data, so a lost one costs time, never truth; whatever they miss is asked for on the return.
 */
export function follow(queries: QueryClient, topics: readonly string[]): () => void {
  let source: EventSource | undefined;
  let timer: number | undefined;
  let pause = SHORTEST_MS;

  /** Topics that are being asked for, and whether there was a further hint meanwhile: asking again at once would never end where answers take longer than hints. */
  const asked = new Map<string, boolean>();
  const refresh = (topic: string) => {
    if (asked.has(topic)) {
      asked.set(topic, true);
      return;
    }
    asked.set(topic, false);
    const answered = queries.invalidateQueries({ predicate: (query) => query.queryKey[0] === topic || query.meta?.also?.includes(topic) === true });
    void answered.finally(() => {
      const more = asked.get(topic) === true;
      asked.delete(topic);
      if (more) refresh(topic);
    });
  };
  const open = () => {
    source = new EventSource(EVENTS);
    source.onopen = () => {
      pause = SHORTEST_MS;
      live.set('live');
      topics.forEach(refresh);
    };
    source.onerror = () => {
      live.set('asking');
      // The browser tries again by itself, save where the service refused.
      if (source?.readyState !== EventSource.CLOSED) return;
      timer = window.setTimeout(open, pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, LONGEST_MS);
    };
    for (const topic of topics) source.addEventListener(topic, () => refresh(topic));
  };
  open();
  return () => {
    window.clearTimeout(timer);
    source?.close();
    live.set('asking');
  };
}

/** `refetchInterval` of what is shown live; `otherwise` where no event can come. */
export function useAskEvery(otherwise = ASK_MS): number {
  return useStore(live) === 'live' ? LIVE_MS : otherwise;
}
