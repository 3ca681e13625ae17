import { bytes, count } from '@frame/format';
import type { Column } from '@frame/parts/DataTable';
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

type Counted = Schemas['Counted'];

const way = (row: Counted): string => (row.direction === 'in' ? 'from clients' : 'to clients');
const means = (row: Counted): string => (row.direction === 'out' ? READ[row.outcome] : undefined) ?? MEANINGS[row.outcome] ?? '';

const COLUMNS: readonly Column<Counted>[] = [
  { id: 'way', line: true, head: 'Way', value: way, cell: way },
  { id: 'outcome', line: true, head: 'Outcome', value: (row) => row.outcome, cell: (row) => row.outcome },
  { id: 'means', head: 'Means', value: means, cell: (row) => <span className="sg-words">{means(row)}</span> },
  { id: 'objects', head: 'Objects', align: 'right', value: (row) => row.objects, cell: (row) => count(row.objects) },
  { id: 'bytes', head: 'Data', align: 'right', value: (row) => row.bytes, cell: (row) => <span title={`${count(row.bytes)} bytes`}>{bytes(row.bytes)}</span> },
];

/** What became of the objects, row by row: what the sums are made of. */
export function Outcomes({ of }: { readonly of: readonly Counted[] }) {
  return (
    <Panel title="What became of objects" flush>
      <Small
        what="outcomes"
        columns={COLUMNS}
        rows={of}
        rowKey={(row) => `${row.direction} ${row.outcome}`}
        none="Nothing was counted yet. As soon as a client stores or reads an object, it is counted here."
      />
    </Panel>
  );
}
