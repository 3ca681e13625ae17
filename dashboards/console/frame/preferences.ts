/* eslint-disable no-restricted-globals -- the one place that keeps something in the browser */
import { Store } from './store';

/** What the browser remembers: how things look, never who somebody is or what they saw. */
function preference<T extends string>(name: string, allowed: readonly T[], otherwise: T): Store<T> {
  const key = `sealgate.${name}`;
  const read = (): T => {
    try {
      const kept = localStorage.getItem(key);
      return allowed.find((value) => value === kept) ?? otherwise;
    } catch {
      return otherwise;
    }
  };
  const store = new Store<T>(read());
  store.follow(() => {
    try {
      localStorage.setItem(key, store.get());
    } catch {
      // A browser that keeps nothing: it holds for this page.
    }
  });
  return store;
}

/** Whether the sidebar shows words. */
export const sidebar = preference('sidebar', ['wide', 'narrow'], 'wide');

/** Light, dark, or as the system is. */
export const scheme = preference('scheme', ['auto', 'light', 'dark'], 'auto');
