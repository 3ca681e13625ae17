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

/** Where the session stands. */
export type Session =
  | { readonly is: 'unknown' }
  | { readonly is: 'out' }
  | { readonly is: 'in'; readonly who: Who }
  /** It ended while somebody was at work: asked for again over the page. */
  | { readonly is: 'over'; readonly who: Who };

/** The one of this page. */
export const session = new Store<Session>({ is: 'unknown' });

interface Waiter {
  readonly go: () => void;
  readonly end: (error: Error) => void;
}

const waiting: Waiter[] = [];

/** Somebody logged in: what waited for it goes on. */
export function begin(who: Who): void {
  session.set({ is: 'in', who });
  waiting.splice(0).forEach((waiter) => waiter.go());
}

/** Somebody logged out, or gave up logging in again. */
export function end(): void {
  session.set({ is: 'out' });
  waiting.splice(0).forEach((waiter) => waiter.end(new LoggedOut()));
}

/** Waits until the person whose session is over has logged in again. */
export function again(): Promise<void> {
  const now = session.get();
  if (now.is === 'unknown' || now.is === 'out') return Promise.reject(new LoggedOut());
  if (now.is === 'in') session.set({ is: 'over', who: now.who });
  return new Promise((go, end) => waiting.push({ go, end }));
}

/** Whether the person who is logged in may do this. What the service refuses stays refused whatever this says. */
export function may(now: Session, permission: string | undefined): boolean {
  if (permission === undefined) return true;
  return (now.is === 'in' || now.is === 'over') && now.who.permissions.includes(permission);
}
