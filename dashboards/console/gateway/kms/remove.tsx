import { read } from '@frame/api';
import { count } from '@frame/format';
import { AskFirst } from '@frame/parts/Confirm';

import { api, type Schemas } from '../api';
import type { Kms } from './data';

/** Asks before a KMS is removed with all its keys. */
export function Remove({ kms, onClose }: { readonly kms: Kms; readonly onClose: () => void }) {
  const known = kms.known_objects === null || kms.known_objects === undefined ? 'An unknown number of objects needs' : `${count(kms.known_objects)} objects are known to need`;
  return (
    <AskFirst
      title={`Remove ${kms.id}?`}
      impact={`${known} it, and there may be others. None of them can be read without it, until it is added again from your own copy of the key. A key that was made in place is gone with it.${kms.active ? ' It is the active one: after that, nothing can be encrypted, and writes that must be are refused.' : ''}`}
      word={kms.id}
      verb="Remove"
      danger
      act={() => read(api.DELETE('/api/v1/kms/{id}', { params: { path: { id: kms.id }, query: { confirm: kms.id } } }))}
      done={`${kms.id} is removed`}
      stale={['group']}
      onClose={onClose}
    />
  );
}

/** Asks before one version of a KMS's key is removed. */
export function RemoveVersion({ kms, version, onClose }: { readonly kms: Kms; readonly version: Schemas['Key']; readonly onClose: () => void }) {
  return (
    <AskFirst
      title={`Remove version ${version.number} of ${kms.id}?`}
      impact={
        <>
          What was encrypted while <code>{version.key.slice(0, 18)}…</code> was the newest version cannot be read without it. How many objects that are is not counted by version. It can be added again only from your own copy, as a KMS of its own; one that was made in place is gone.
        </>
      }
      word={`${kms.id} ${version.number}`}
      verb="Remove"
      danger
      act={() => read(api.DELETE('/api/v1/kms/{id}/keys/{number}', { params: { path: { id: kms.id, number: version.number }, query: { confirm: version.key } } }))}
      done={`Version ${version.number} of ${kms.id} is removed`}
      stale={['group']}
      onClose={onClose}
    />
  );
}
