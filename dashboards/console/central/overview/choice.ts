/** The choice with one more, or one less. */
export const toggled = (chosen: readonly string[], name: string): string[] =>
  chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name].toSorted();

/** What a choice narrows to; none where it does not: nothing is chosen, or everything. */
export function effective(all: readonly string[], chosen: readonly string[]): readonly string[] {
  const known = new Set(chosen);
  return all.length > 0 && all.every((name) => known.has(name)) ? [] : chosen;
}
