import { Autocomplete, Button, Modal, Select, TextInput } from '@mantine/core';
import { useAskListEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { Exact } from '@frame/parts/Time';
import { Typed } from '@frame/parts/Typed';
import { narrowed } from '@frame/search';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { auditQuery, everyRecord, type Line, questionOf } from './data';
import { auditRoute, type AuditSearch, SINCE } from './route';

const SPANS: Readonly<Record<keyof typeof SINCE, string>> = {
  '1h': 'Last hour',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '30d': 'Last 30 days',
  '365d': 'Last year',
};

/** Midnight today, as fields of time have it. */
function midnight(): string {
  const now = new Date();
  const two = (part: number) => String(part).padStart(2, '0');
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}T00:00`;
}

/** Who did what, when: append-only, each record chained to the one before. */
export function Audit() {
  const search = auditRoute.useSearch();
  const navigate = auditRoute.useNavigate();
  const [now] = useState(Date.now);
  const question = useMemo(() => questionOf(search, now), [search, now]);
  const list = useInfiniteQuery({ ...auditQuery(question), refetchInterval: useAskListEvery(), placeholderData: keepPreviousData });
  const rows = useMemo(() => list.data?.pages.flatMap((one) => one.records), [list.data]);
  const [shown, setShown] = useState<Line | null>(null);
  const set = (change: Partial<AuditSearch>) => void navigate({ search: { ...search, ...change }, replace: true });
  const filtered = narrowed(search);
  const seen = (pick: (row: Line) => string) => [...new Set(rows?.map(pick))].toSorted();
  const columns = useMemo((): readonly Column<Line>[] => {
    const only = (change: Partial<AuditSearch>) => void navigate({ search: (before) => ({ ...before, ...change }), replace: true });
    return [
      { id: 'sequence', head: 'No.', align: 'right', value: (row) => row.sequence, cell: (row) => row.sequence },
      { id: 'at', head: 'When', value: (row) => row.at, cell: (row) => <Exact at={row.at} /> },
      { id: 'actor', head: 'Who', value: (row) => row.actor, cell: (row) => <Narrow what="actor" value={row.actor} onClick={(actor) => only({ actor })} /> },
      { id: 'action', head: 'What', value: (row) => row.action, cell: (row) => <Narrow what="action" value={row.action} onClick={(action) => only({ action })} /> },
      {
        id: 'subject',
        head: 'Of what',
        clip: true,
        value: (row) => row.subject,
        cell: (row) => <Narrow what="subject" value={row.subject} onClick={(subject) => only({ subject, q: undefined })} />,
      },
      {
        id: 'detail',
        head: 'Detail',
        value: (row) => JSON.stringify(row.detail),
        cell: (row) => (
          <Button className="sg-no-print" size="compact-xs" variant="default" onClick={() => setShown(row)}>
            Show<span className="sg-hidden"> record {row.sequence}</span>
          </Button>
        ),
      },
    ];
  }, [navigate]);
  const between = search.from !== undefined || search.to !== undefined;
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
          asked={list}
          more={{ has: list.hasNextPage, busy: list.isFetchingNextPage, load: () => void list.fetchNextPage() }}
          all={() => everyRecord(question)}
          tools={
            <>
              <Select
                label="When"
                w={190}
                allowDeselect={false}
                value={between ? 'between' : (search.since ?? 'ever')}
                data={[{ value: 'ever', label: 'Ever' }, ...Object.entries(SPANS).map(([value, label]) => ({ value, label })), { value: 'between', label: 'Between two moments' }]}
                onChange={(value) => {
                  const since = (Object.keys(SINCE) as (keyof typeof SINCE)[]).find((one) => one === value);
                  set({ since, from: value === 'between' ? midnight() : undefined, to: undefined });
                }}
              />
              {between && (
                <>
                  <TextInput type="datetime-local" label="From" w={200} value={search.from ?? ''} onChange={(event) => set({ from: event.currentTarget.value || undefined })} />
                  <TextInput type="datetime-local" label="Until" w={200} value={search.to ?? ''} onChange={(event) => set({ to: event.currentTarget.value || undefined })} />
                </>
              )}
              <Exactly label="Who" placeholder="operator:admin" value={search.actor} known={seen((row) => row.actor)} onChange={(actor) => set({ actor })} />
              <Exactly label="What" placeholder="policies.applied" value={search.action} known={seen((row) => row.action)} onChange={(action) => set({ action })} />
              <Typed label="Of what" width={190} placeholder="part of it" value={search.q ?? search.subject} onChange={(q) => set({ q, subject: undefined })} />
              {filtered && (
                <Button variant="default" onClick={() => void navigate({ search: {}, replace: true })}>
                  Reset
                </Button>
              )}
            </>
          }
          empty={
            <Empty title={filtered ? 'No record is like that' : 'Nothing has been recorded'}>
              {filtered ? 'Who and what are compared whole: choose one that is offered, or reset the filter.' : 'Each change is recorded in the transaction that makes it.'}
            </Empty>
          }
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

interface ExactlyProps {
  readonly label: string;
  readonly placeholder: string;
  readonly value: string | undefined;
  /** What the rows that are here have. */
  readonly known: readonly string[];
  readonly onChange: (value: string | undefined) => void;
}

/** A whole word: chosen from what is there, or typed and ended by Enter or by leaving the field. */
function Exactly({ label, placeholder, value, known, onChange }: ExactlyProps) {
  const [typed, setTyped] = useState(value ?? '');
  const [before, setBefore] = useState(value);
  if (before !== value) {
    setBefore(value);
    setTyped(value ?? '');
  }
  const end = (text: string) => onChange(text.trim() || undefined);
  return (
    <Autocomplete
      label={label}
      w={200}
      placeholder={placeholder}
      data={[...known]}
      value={typed}
      onChange={setTyped}
      onOptionSubmit={end}
      onBlur={() => end(typed)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') end(typed);
      }}
    />
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
