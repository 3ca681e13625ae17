import { bytes, count } from '@frame/format';
import { Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';

import type { Schemas } from '../api';

/** What an outcome means, for whoever does not know the interface's words. */
const MEANINGS: Readonly<Record<string, string>> = {
  encrypted: 'stored encrypted',
  plain: 'stored as it was: nothing asked for encryption',
  'would-encrypt': 'stored as it was; a policy in audit mode would have encrypted it',
  'would-deny': 'stored as it was; a policy in audit mode would have refused it',
  denied: 'refused by a policy',
  failed: 'nothing was stored: it failed at the storage or on the way',
  error: 'stored as it was: the condition of a refusing policy could not be evaluated',
  grandfathered: 'an upload begun under an earlier revision, finished as it was decided then',
  indeterminate: 'a kill came between, and the storage cannot tell whether it has it',
};

/** Reading has no outcome but what the object was. */
const READ: Readonly<Record<string, string>> = { encrypted: 'read and decrypted', plain: 'read as it was stored', failed: 'could not be read' };

/** What became of the objects, row by row: what the sums are made of. */
export function Outcomes({ of }: { readonly of: readonly Schemas['Counted'][] }) {
  return (
    <Panel title="What became of objects" flush>
      <Small
        head={['Way', 'Outcome', 'Means', 'Objects', 'Data']}
        right={3}
        none="Nothing was counted yet. As soon as a client stores or reads an object, it is counted here."
        rows={of.map((one) => [
          one.direction === 'in' ? 'from clients' : 'to clients',
          one.outcome,
          (one.direction === 'out' ? READ[one.outcome] : undefined) ?? MEANINGS[one.outcome] ?? '',
          count(one.objects),
          <span key="bytes" title={`${count(one.bytes)} bytes`}>{bytes(one.bytes)}</span>,
        ])}
      />
    </Panel>
  );
}
