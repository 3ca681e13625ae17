/** What a JSON Schema knows about a place in a YAML text: names of fields there, and words that a value may be. */

/** As much of a JSON Schema as completion reads. */
export interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly default?: unknown;
}

/** A word that fits. */
export interface Offer {
  readonly label: string;
  readonly detail: string;
  readonly kind: 'field' | 'word';
}

/** Follows references and single alternatives. */
function resolve(root: Schema, schema: Schema | undefined): Schema | undefined {
  let now = schema;
  for (let depth = 0; now?.$ref !== undefined && depth < 8; depth += 1) {
    const name = now.$ref.split('/').at(-1) ?? '';
    // A description beside a reference speaks of the field, the one behind it of the type.
    const description: string | undefined = now.description;
    const target: Schema | undefined = root.$defs?.[name];
    now = target && description !== undefined ? { ...target, description } : target;
  }
  return now;
}

/** The schema at a path of field names. */
export function at(root: Schema, path: readonly string[]): Schema | undefined {
  let now = resolve(root, root);
  for (const name of path) now = resolve(root, now?.properties?.[name]);
  return now;
}

const indentOf = (line: string): number => line.length - line.trimStart().length;

const FIELD = /^\s*(?:- )?([A-Za-z_][\w-]*)\s*:/;

/** The names of the fields that a line of that indent stands under. */
export function pathAt(before: readonly string[], indent: number): readonly string[] {
  const path: string[] = [];
  let under = indent;
  for (const line of before.toReversed()) {
    if (/^---/.test(line)) break;
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue;
    const here = indentOf(line);
    if (here >= under) continue;
    const name = FIELD.exec(line)?.[1];
    if (name !== undefined) path.unshift(name);
    under = here;
    if (here === 0) break;
  }
  return path;
}

/** What fits at the end of `line`, which stands below `before`. */
export function offers(root: Schema, before: readonly string[], line: string): readonly Offer[] {
  const indent = indentOf(line);
  const path = pathAt(before, indent);
  const value = /^\s*([A-Za-z_][\w-]*)\s*:\s+\S*$/.exec(line);
  if (value?.[1] !== undefined) return words(root, at(root, [...path, value[1]]));
  if (!/^\s*[\w-]*$/.test(line)) return [];
  const here = at(root, path);
  const present = new Set(siblings(before, indent));
  return Object.entries(here?.properties ?? {})
    .filter(([name]) => !present.has(name))
    .map(([name, field]) => ({ label: name, detail: resolve(root, field)?.description ?? '', kind: 'field' }));
}

/** Names that are already there above, at the same depth under the same field. */
function siblings(before: readonly string[], indent: number): string[] {
  const names: string[] = [];
  for (const line of before.toReversed()) {
    if (/^---/.test(line)) break;
    if (line.trim() === '') continue;
    const here = indentOf(line);
    if (here < indent) break;
    const name = FIELD.exec(line)?.[1];
    if (here === indent && name !== undefined) names.push(name);
  }
  return names;
}

function words(root: Schema, schema: Schema | undefined): readonly Offer[] {
  const here = resolve(root, schema);
  if (!here) return [];
  const found: Offer[] = [];
  const add = (value: unknown, detail: string) => {
    if (typeof value === 'string') found.push({ label: value, detail, kind: 'word' });
  };
  if (here.const !== undefined) add(here.const, here.description ?? '');
  for (const value of here.enum ?? []) add(value, '');
  for (const one of [...(here.oneOf ?? []), ...(here.anyOf ?? [])]) {
    const part = resolve(root, one);
    if (part?.const !== undefined) add(part.const, part.description ?? '');
    for (const value of part?.enum ?? []) add(value, part?.description ?? '');
  }
  return found;
}
