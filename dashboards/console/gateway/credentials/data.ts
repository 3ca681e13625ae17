import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** A credential, without its secret. */
export type Credential = Schemas['Credential'];
/** What a credential may do in the buckets that match. */
export type Grant = Schemas['Grant'];
/** A class of operations. */
export type Action = Schemas['Action'];

/** Every credential. */
export const credentialsQuery = () =>
  queryOptions({ queryKey: ['group', 'credentials'], queryFn: ({ signal }) => read(api.GET('/api/v1/credentials', { signal })) });

/** The classes of operations, and what they stand for. */
export const ACTIONS: readonly (readonly [action: Action, means: string])[] = [
  ['read', 'read objects'],
  ['list', 'list objects'],
  ['write', 'store objects'],
  ['delete', 'delete objects'],
  ['manage', 'make, remove and configure buckets'],
];

/** A grant in a line: `read, list in finance, hr-*`. */
export const told = (grant: Grant): string => `${grant.actions.length === ACTIONS.length ? 'everything' : grant.actions.join(', ')} in ${grant.buckets.includes('*') ? 'every bucket' : grant.buckets.join(', ')}`;

/** What a form has to mend before it can be sent; by number of the grant. */
export function lacks(grants: readonly Grant[]): Readonly<Record<number, { readonly buckets?: string; readonly actions?: string }>> {
  const found: Record<number, { buckets?: string; actions?: string }> = {};
  grants.forEach((grant, index) => {
    const buckets = grant.buckets.length === 0 ? 'Which buckets?' : undefined;
    const actions = grant.actions.length === 0 ? 'What may it do there?' : undefined;
    if (buckets ?? actions) found[index] = { ...(buckets && { buckets }), ...(actions && { actions }) };
  });
  return found;
}
