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

/** Who the holder of a credential is at a storage, as a form has it. */
export interface Identity {
  readonly backend: string;
  readonly accessKey: string;
  /** Empty: the one that is there stays. */
  readonly secretKey: string;
}

/** Those of a credential, by the name of the storage. */
export const identitiesOf = (of: Credential | undefined): readonly Identity[] => Object.entries(of?.identities ?? {}).map(([backend, accessKey]) => ({ backend, accessKey, secretKey: '' }));

/** Whether the secret of this one is known to the gateway already. */
export const isKept = (one: Identity, of: Credential | undefined): boolean => one.accessKey !== '' && of?.identities[one.backend] === one.accessKey;

/** What each lacks before it can be sent; by its number. */
export function lacking(identities: readonly Identity[], of: Credential | undefined): Readonly<Record<number, { readonly accessKey?: string; readonly secretKey?: string }>> {
  const found: Record<number, { accessKey?: string; secretKey?: string }> = {};
  identities.forEach((one, index) => {
    const accessKey = one.accessKey === '' ? 'Which key of the storage?' : undefined;
    const secretKey = one.secretKey === '' && !isKept(one, of) ? 'It belongs to the access key' : undefined;
    if (accessKey ?? secretKey) found[index] = { ...(accessKey && { accessKey }), ...(secretKey && { secretKey }) };
  });
  return found;
}

/** What is sent of them: nothing where nothing was changed, so that one of a storage that is configured no more is no hindrance. */
export function changed(identities: readonly Identity[], of: Credential | undefined): Schemas['ChangeCredential']['identities'] | undefined {
  const same = identities.length === Object.keys(of?.identities ?? {}).length && identities.every((one) => one.secretKey === '' && isKept(one, of));
  if (same) return undefined;
  return Object.fromEntries(identities.map((one) => [one.backend, { access_key: one.accessKey, ...(one.secretKey !== '' && { secret_key: one.secretKey }) }]));
}
