import { LoggedOut } from './problem';
import { Store } from './store';

/** Who is logged in. */
export interface Who {
  readonly name: string;
  /** What the account is for, in a word. */
  readonly role: string;
  /** What it may, as the service says; pages that it may not see are not offered. */
  readonly permissions: readonly string[];
}

/** Whose page it was before, and what was given up with it. */
export interface Before {
  readonly name: string;
  /** Something that was to be carried out waited for the log-in. */
  readonly dropped: boolean;
}

/** Where the session stands. */
export type Session =
  | { readonly is: 'unknown' }
  | { readonly is: 'out' }
  | { readonly is: 'in'; readonly who: Who; readonly before?: Before }
  /** It ended while somebody was at work: asked for again over the page. */
  | { readonly is: 'over'; readonly who: Who };

/** The one of this page. Whatever holds what a person saw or typed forgets it when it is out. */
export const session = new Store<Session>({ is: 'unknown' });

interface Waiter {
  readonly go: () => void;
  readonly end: (error: Error) => void;
  readonly acts: boolean;
}

const waiting: Waiter[] = [];

/** The console's other pages in this browser: they share the cookie, so whoever logs in there is in here too. */
const pages = new BroadcastChannel('sealgate-session');
pages.onmessage = (event: MessageEvent<Who>) => enter(event.data);

/** Somebody logged in. */
export function begin(who: Who): void {
  enter(who);
  pages.postMessage(who);
}

/** What waited for its person goes on. What waited for another one is dropped: it was not this one's to do. */
function enter(who: Who): void {
  const now = inside();
  if (now && now.name !== who.name) {
    const dropped = waiting.some((waiter) => waiter.acts);
    end();
    session.set({ is: 'in', who, before: { name: now.name, dropped } });
  } else if (session.get().is !== 'in') {
    session.set({ is: 'in', who });
    waiting.splice(0).forEach((waiter) => waiter.go());
  }
}

/** Somebody logged out, or gave up logging in again. */
export function end(): void {
  session.set({ is: 'out' });
  waiting.splice(0).forEach((waiter) => waiter.end(new LoggedOut()));
}

/** Whose page this is. */
export function inside(): Who | undefined {
  const now = session.get();
  return now.is === 'in' || now.is === 'over' ? now.who : undefined;
}

/**
 * What `asker` asked found the session over: waits until the same person has logged in again. `acts`: it does more than
 * read.
 */
export function again(asker: Who | undefined, acts: boolean): Promise<void> {
  const now = session.get();
  if ((now.is !== 'in' && now.is !== 'over') || now.who.name !== asker?.name) return Promise.reject(new LoggedOut());
  if (now.is === 'in') {
    // Logged in again since it was sent.
    if (now.who !== asker) return Promise.resolve();
    session.set({ is: 'over', who: now.who });
  }
  return new Promise((go, end) => waiting.push({ go, end, acts }));
}

/** Whether the person who is logged in may do this. What the service refuses stays refused whatever this says. */
export function may(now: Session, permission: string | undefined): boolean {
  if (permission === undefined) return true;
  return (now.is === 'in' || now.is === 'over') && now.who.permissions.includes(permission);
}
