import { Button, Checkbox, Stack, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { Confirm } from '@frame/parts/Confirm';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Shown } from '@frame/parts/Note';
import { Page, Pairs, Panel } from '@frame/parts/Page';
import { Tag } from '@frame/parts/State';
import { tell } from '@frame/tell';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { api } from '../api';
import { convergenceQuery } from '../policies/data';
import { settingsRoute } from './route';

/** What concerns Central as a whole. */
export function Settings() {
  const head = useQuery(convergenceQuery());
  const [beginning, setBeginning] = useState(false);
  return (
    <Page
      title="Settings"
      lead={
        <>
          Set in Central’s file, environment or flags; a change holds from the next start. <code style={{ whiteSpace: 'nowrap' }}>sealgate-central --print-config</code> prints the same. Secrets are never shown.
        </>
      }
    >
      <Stack gap="sm">
        <Configuration />
        <Panel
          title="Lineage of the policies"
          aside={
            <Button size="xs" variant="default" c="var(--sg-bad)" onClick={() => setBeginning(true)} disabled={!head.data}>
              Begin a new lineage
            </Button>
          }
        >
          <Shown of={head} what="the lineage" lines={2}>
            {(now) => (
              <Stack gap="xs">
                <Pairs of={[['Lineage', <code key="lineage">{now.lineage}</code>], ['Newest revision', now.revision]]} />
                <p style={{ margin: 0, color: 'var(--sg-quiet)' }}>
                  Gateways never accept a lower revision of a lineage. When Central was restored from an older backup, gateways hold newer revisions than it
                  has, and policies cannot be changed until a new lineage is begun with the set as Central has it.
                </p>
              </Stack>
            )}
          </Shown>
        </Panel>
      </Stack>
      {beginning && head.data && <Begin lineage={head.data.lineage} onClose={() => setBeginning(false)} />}
    </Page>
  );
}

interface Row {
  readonly section: string;
  readonly key: string;
  readonly value: string;
  readonly from: string;
}

/** Where a value comes from, in words. */
const FROM: Readonly<Record<string, string>> = { default: 'default', file: 'configuration file', environment: 'environment', flag: 'flag' };

/** A value as a person reads it; what is not set has none. */
function valueText(value: unknown): string {
  if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) return '';
  if (Array.isArray(value)) return value.map(valueText).join(', ');
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'string' || typeof value === 'number' ? String(value) : JSON.stringify(value);
}

const COLUMNS: readonly Column<Row>[] = [
  { id: 'key', head: 'Setting', value: (row) => `${row.section}.${row.key}`, cell: (row) => <code>{row.section}.{row.key}</code> },
  {
    id: 'value',
    head: 'In force',
    value: (row) => row.value,
    cell: (row) => (row.value === '' ? <span style={{ color: 'var(--sg-quiet)' }}>not set</span> : <span className="sg-value">{row.value}</span>),
  },
  { id: 'from', head: 'From', value: (row) => FROM[row.from] ?? row.from, cell: (row) => (row.from === 'default' ? <span style={{ color: 'var(--sg-quiet)' }}>default</span> : <Tag tone="accent">{FROM[row.from] ?? row.from}</Tag>) },
];

/** Every setting in force, and where it comes from. */
function Configuration() {
  const search = settingsRoute.useSearch();
  const navigate = settingsRoute.useNavigate();
  const asked = useQuery({ queryKey: ['settings'], queryFn: ({ signal }) => read(api.GET('/api/v1/settings', { signal })) });
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const rows = useMemo(() => {
    const q = search.q?.toLowerCase() ?? '';
    return asked.data?.sections
      .flatMap((section) => section.settings.map((one): Row => ({ section: section.name, key: one.key, value: valueText(one.value), from: one.from })))
      .filter((row) => (search.set === undefined || row.from !== 'default') && `${row.section}.${row.key} ${row.value}`.toLowerCase().includes(q));
  }, [asked.data, search.q, search.set]);
  return (
    <Panel title="Configuration" flush>
      <DataTable
        what="settings"
        columns={COLUMNS}
        rows={rows}
        rowKey={(row) => `${row.section}.${row.key}`}
        asked={asked}
        sort={search.sort}
        onSort={(sort) => set({ sort })}
        tools={
          <>
            <TextInput label="Setting" placeholder="part of its name or value" w={220} value={search.q ?? ''} onChange={(event) => set({ q: event.currentTarget.value || undefined })} />
            <Checkbox label="Only those that were set" pb={8} checked={search.set === true} onChange={(event) => set({ set: event.currentTarget.checked || undefined })} />
          </>
        }
        empty={<Empty title="No setting is like that">Look for another part of its name.</Empty>}
        plain
      />
    </Panel>
  );
}

function Begin({ lineage, onClose }: { readonly lineage: string; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const beginning = useMutation({
    mutationFn: () => read(api.POST('/api/v1/policy-set/lineage', { body: { instead_of: lineage } })),
    onSuccess: async () => {
      tell.done('A new lineage is begun');
      onClose();
      await queries.invalidateQueries({ queryKey: ['policies'] });
    },
  });
  return (
    <Confirm
      title="Begin a new lineage?"
      impact="Every gateway takes over the policies as Central has them now, also those that hold newer ones: what was published after the backup is lost. Look at the policies first."
      word={lineage}
      verb="Begin it"
      danger
      busy={beginning.isPending}
      error={beginning.error}
      onConfirm={() => beginning.mutate()}
      onClose={onClose}
    />
  );
}
