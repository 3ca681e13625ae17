import { Store } from './store';

/** How the service can be reached. */
export type Reach =
  | { readonly is: 'well' }
  /** It does not answer. */
  | { readonly is: 'away'; readonly since: number }
  /** It answers that it cannot serve, for want of its database or storage. */
  | { readonly is: 'ailing'; readonly since: number; readonly detail: string };

/** The one for this page. */
export const reach = new Store<Reach>({ is: 'well' });

const EVERY_MS = 2_000;
/** A service that hangs takes connections and says nothing. */
const PATIENCE_MS = 4_000;

let probing: number | undefined;
const onReturn = new Set<() => void>();

/** Calls `what` each time that the service can be reached again. */
export function whenBack(what: () => void): void {
  onReturn.add(what);
}

/** The service answered as it should. */
export function answered(): void {
  if (reach.get().is === 'well') return;
  window.clearInterval(probing);
  probing = undefined;
  reach.set({ is: 'well' });
  onReturn.forEach((what) => what());
}

/** It did not: asks until it does. */
export function silent(detail?: string): void {
  const now = reach.get();
  const since = now.is === 'well' ? Date.now() : now.since;
  if (detail !== undefined) {
    if (now.is !== 'ailing' || now.detail !== detail) reach.set({ is: 'ailing', since, detail });
  } else if (now.is !== 'away') {
    reach.set({ is: 'away', since });
  }
  probing ??= window.setInterval(() => void probe(), EVERY_MS);
}

let asked: Promise<void> | undefined;

/** Whether it is ready, asked now; one question at a time. */
export function probe(): Promise<void> {
  asked ??= ask().finally(() => {
    asked = undefined;
  });
  return asked;
}

async function ask(): Promise<void> {
  try {
    const response = await fetch('/readyz', { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.ok) answered();
    else if (response.status === 503) silent(await reason(response));
    else silent();
  } catch {
    silent();
  }
}

/** Ready tells the reason as a line of text or as JSON; anything else is something between here and there. */
async function reason(response: Response): Promise<string | undefined> {
  const body = await response.text();
  if (body.startsWith('not ready: ')) return body.slice('not ready: '.length).trim();
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null && 'reasons' in parsed && Array.isArray(parsed.reasons)) {
      return parsed.reasons.join('; ');
    }
  } catch {
    // No JSON: not from the service.
  }
  return undefined;
}
