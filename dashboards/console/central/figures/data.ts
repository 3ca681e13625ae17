import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** A row of figures. */
export type Row = Schemas['Row'];

/** What is asked about figures. */
export interface Question {
  readonly by?: 'gateway' | 'bucket' | 'policy' | 'outcome' | undefined;
  /** Counted since then (RFC 3339); absent: for all time. */
  readonly since?: string | undefined;
}

/** What all gateways counted. */
export const figuresQuery = (question: Question) =>
  queryOptions({
    queryKey: ['statistics', 'figures', question],
    queryFn: ({ signal }) => read(api.GET('/api/v1/stats', { params: { query: question }, signal })),
  });

/** Objects of which the storage holds ciphertext. */
export const ENCRYPTED = ['encrypted'] as const;

/** Outcomes by which an object went to the storage as it was. */
export const PLAIN = ['plain', 'would-encrypt', 'would-deny', 'error'] as const;

/** What an outcome means, for whoever did not write the interface. */
export const OUTCOMES: Readonly<Record<string, string>> = {
  encrypted: 'Stored encrypted',
  plain: 'Stored as it was: nothing asked for encryption',
  'would-encrypt': 'Stored as it was; a policy in audit mode would have encrypted it',
  'would-deny': 'Stored as it was; a policy in audit mode would have refused it',
  denied: 'Refused by a policy',
  failed: 'Nothing was stored: it failed at the storage or on the way',
  error: 'Stored as it was: the condition of a refusing policy could not be evaluated',
  grandfathered: 'An upload begun under an earlier revision, finished as it was decided then',
  indeterminate: 'A kill came between, and the storage cannot tell whether it has it',
};

interface Sum {
  readonly objects: number;
  readonly bytes: number;
}

/** Objects and bytes towards the storage, of the rows with one of these outcomes. */
export function sumOf(rows: readonly Row[], outcomes: readonly string[]): Sum {
  return rows
    .filter((row) => row.outcome !== null && row.outcome !== undefined && outcomes.includes(row.outcome))
    .reduce((sum, row) => ({ objects: sum.objects + row.objects, bytes: sum.bytes + row.bytes }), { objects: 0, bytes: 0 });
}
