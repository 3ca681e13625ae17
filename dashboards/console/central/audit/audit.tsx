import { Button, Modal, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { Exact } from '@frame/parts/Time';
import { narrowed } from '@frame/search';
import { infiniteQueryOptions, useInfiniteQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { api } from '../api';
import { auditRoute } from './route';

/** A record as the export has it; its format is at the head of central/src/audit.rs. */
interface Line {
  readonly sequence: number;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: unknown;
  readonly hash: string;
}

interface Search {
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly subject?: string | undefined;
}

const page = async (search: Search, before: number | undefined, limit: number, signal?: AbortSignal) => {
  const answer = await read(api.GET('/api/v1/audit', { params: { query: { ...search, before, limit } }, signal }));
  return { records: answer.records as unknown as readonly Line[], next: answer.next };
};

const auditQuery = (search: Search) =>
  infiniteQueryOptions({
    queryKey: ['audit', search],
    queryFn: ({ pageParam, signal }) => page(search, pageParam, 200, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });

async function everything(search: Search): Promise<Line[]> {
  const found: Line[] = [];
  let before: number | undefined;
  do {
    const part = await page(search, before, 1_000);
    found.push(...part.records);
    before = part.next ?? undefined;
  } while (before !== undefined);
  return found;
}

/** Who did what, when: append-only, each record chained to the one before. */
export function Audit() {
  const search = auditRoute.useSearch();
  const navigate = auditRoute.useNavigate();
  const list = useInfiniteQuery({ ...auditQuery(search), placeholderData: (before) => before });
  const rows = useMemo(() => list.data?.pages.flatMap((one) => one.records), [list.data]);
  const [shown, setShown] = useState<Line | null>(null);
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const filtered = narrowed(search);
  const columns: readonly Column<Line>[] = [
    { id: 'sequence', head: 'No.', align: 'right', value: (row) => row.sequence, cell: (row) => row.sequence },
    { id: 'at', head: 'When', value: (row) => row.at, cell: (row) => <Exact at={row.at} /> },
    { id: 'actor', head: 'Who', value: (row) => row.actor, cell: (row) => <Narrow what="actor" value={row.actor} onClick={(actor) => set({ actor })} /> },
    { id: 'action', head: 'What', value: (row) => row.action, cell: (row) => <Narrow what="action" value={row.action} onClick={(action) => set({ action })} /> },
    { id: 'subject', head: 'Of what', clip: true, value: (row) => row.subject, cell: (row) => <Narrow what="subject" value={row.subject} onClick={(subject) => set({ subject })} /> },
    {
      id: 'detail',
      head: 'Detail',
      value: (row) => JSON.stringify(row.detail),
      cell: (row) => (
        <Button size="compact-xs" variant="default" onClick={() => setShown(row)}>
          Show<span className="sg-hidden"> record {row.sequence}</span>
        </Button>
      ),
    },
  ];
  return (
    <Page
      title="Audit"
      lead={
        <>
          Append-only; each record carries the digest of the one before. <code>sealgate audit verify</code> checks an export without Central.
        </>
      }
      actions={
        <Button component="a" variant="default" href="/api/v1/audit/export" download="sealgate-audit.ndjson">
          Export for verification
        </Button>
      }
    >
      <div className="sg-panel">
        <DataTable
          what="audit records"
          columns={columns}
          rows={rows}
          rowKey={(row) => String(row.sequence)}
          error={list.error}
          again={() => void list.refetch()}
          more={{ has: list.hasNextPage, busy: list.isFetchingNextPage, load: () => void list.fetchNextPage() }}
          all={() => everything(search)}
          tools={
            <>
              <TextInput label="Who" w={190} placeholder="operator:admin" value={search.actor ?? ''} onChange={(event) => set({ actor: event.currentTarget.value || undefined })} />
              <TextInput label="What" w={190} placeholder="policy.changed" value={search.action ?? ''} onChange={(event) => set({ action: event.currentTarget.value || undefined })} />
              <TextInput label="Of what" w={190} value={search.subject ?? ''} onChange={(event) => set({ subject: event.currentTarget.value || undefined })} />
              {filtered && (
                <Button variant="default" onClick={() => void navigate({ search: {}, replace: true })}>
                  Reset
                </Button>
              )}
            </>
          }
          empty={<Empty title={filtered ? 'No record is exactly like that' : 'Nothing has been recorded'}>{filtered ? 'Who, what and of what are compared whole. Choose one in a row of the table, or reset the filter.' : 'Each change is recorded in the transaction that makes it.'}</Empty>}
        />
      </div>
      {shown && (
        <Modal opened onClose={() => setShown(null)} size="lg" title={`Record ${shown.sequence}: ${shown.action}`} closeButtonProps={{ 'aria-label': 'Close' }}>
          {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard */}
          <pre className="sg-code sg-wrap" tabIndex={0}>
            {JSON.stringify(shown, null, 2)}
          </pre>
        </Modal>
      )}
    </Page>
  );
}

function Narrow({ what, value, onClick }: { readonly what: string; readonly value: string; readonly onClick: (value: string) => void }) {
  if (value === '') return null;
  return (
    <button type="button" className="sg-plain" title={`Only this ${what}`} onClick={() => onClick(value)}>
      {value}
    </button>
  );
}
