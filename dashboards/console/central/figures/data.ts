import { read } from '@frame/api';
import { queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** A row of figures. */
export type Row = Schemas['Row'];

/** What is asked about figures. */
export interface Question {
  readonly by?: 'gateway' | 'bucket' | 'policy' | 'outcome' | 'policy-outcome' | undefined;
  /** Counted since then (RFC 3339); absent: for all time. */
  readonly since?: string | undefined;
  /** Only rows of these; none: of all. */
  readonly gateway?: readonly string[];
  readonly bucket?: readonly string[];
  readonly policy?: readonly string[];
  readonly outcome?: readonly string[];
}

/** What all gateways counted. */
export const figuresQuery = (question: Question) =>
  queryOptions({
    queryKey: ['statistics', 'figures', question],
    queryFn: ({ signal }) => read(
        api.GET('/api/v1/stats', {
          params: {
            query: {
              by: question.by,
              since: question.since,
              gateway: [...(question.gateway ?? [])],
              bucket: [...(question.bucket ?? [])],
              policy: [...(question.policy ?? [])],
              outcome: [...(question.outcome ?? [])],
            },
          },
          signal,
        }),
      ),
  });

/** Objects of which the storage holds ciphertext. */
export const ENCRYPTED = ['encrypted'] as const;

/** Outcomes by which an object went to the storage as it was. */
export const PLAIN = ['plain', 'would-encrypt', 'would-deny', 'error'] as const;

/** Outcomes that do not tell how an object was stored. */
export const OTHER = ['grandfathered', 'indeterminate'] as const;

/** Outcomes by which something was stored, as addresses have them. */
export const STORED = [...ENCRYPTED, ...PLAIN, ...OTHER].join(',');

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
