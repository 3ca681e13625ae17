/** Readers of search parameters: what a URL says is taken where it makes sense, and otherwise left out. */

type Raw = Record<string, unknown>;

/** A text that is not empty. */
export function text(raw: Raw, name: string): string | undefined {
  const value = raw[name];
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** One of a closed list. */
export function oneOf<const T extends string>(raw: Raw, name: string, allowed: readonly T[]): T | undefined {
  return allowed.find((value) => value === raw[name]);
}

/** Names, separated by commas in the URL. */
export function names(raw: Raw, name: string): readonly string[] {
  return (text(raw, name) ?? '').split(',').filter((part) => part !== '');
}

/** A whole number that is not negative. */
export function whole(raw: Raw, name: string): number | undefined {
  const value = Number(raw[name]);
  return raw[name] !== undefined && raw[name] !== '' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** A switch. */
export function flag(raw: Raw, name: string): true | undefined {
  return raw[name] === true || raw[name] === 'true' ? true : undefined;
}

/** Whether a view is narrowed to anything. */
export const narrowed = (search: object): boolean => Object.values(search).some((value: unknown) => value !== undefined);

/** The order of a page's tables, where that is all that its address says. */
export const ordered = (raw: Raw): { readonly sort?: string } => ({ sort: text(raw, 'sort') });
