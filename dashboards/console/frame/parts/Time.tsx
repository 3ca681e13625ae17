import { ago, exact, lasting, span } from '../format';
import { Store, useStore } from '../store';

const now = new Store(Date.now());
window.setInterval(() => now.set(Date.now()), 5_000);

/** The clock of the page, to five seconds. */
export const useNow = (): number => useStore(now);

/** A moment, told relative to now; the exact one on hover and to a screen reader's request. */
export function Time({ at, never = 'never' }: { readonly at: string | null | undefined; readonly never?: string }) {
  const clock = useNow();
  if (at === null || at === undefined) return <>{never}</>;
  const moment = Date.parse(at);
  return (
    <time dateTime={at} title={exact(moment)}>
      {ago(moment, clock)}
    </time>
  );
}

/** How long it has been so; since when exactly, on hover. */
export function Lasting({ since }: { readonly since: string }) {
  const clock = useNow();
  const moment = Date.parse(since);
  return (
    <time dateTime={since} title={`since ${exact(moment)}`}>
      {lasting(moment, clock)}
    </time>
  );
}

/** A moment as it is, for records. */
export function Exact({ at }: { readonly at: string }) {
  const moment = Date.parse(at);
  const clock = useNow();
  return (
    <time dateTime={at} title={ago(moment, clock)}>
      {exact(moment)}
    </time>
  );
}

/** Milliseconds since 1970 as a moment for files and orders; 0 is none. */
export const moment = (ms: number): string | null => (ms > 0 ? new Date(ms).toISOString() : null);

/** The same as it is shown. */
export function Moment({ ms }: { readonly ms: number }) {
  const at = moment(ms);
  return at === null ? '–' : <Exact at={at} />;
}

/** An age in seconds. */
export function Age({ seconds }: { readonly seconds: number }) {
  return <span title={`${seconds} seconds`}>{span(seconds)}</span>;
}
