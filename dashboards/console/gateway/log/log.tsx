import './log.css';

import { Button, Modal, Select, Switch, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty } from '@frame/parts/Note';
import { Page, Pairs } from '@frame/parts/Page';
import { State, type Tone } from '@frame/parts/State';
import { Exact } from '@frame/parts/Time';
import { type QueryClient, useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { api } from '../api';
import { contains, fieldsOf, isChange, joined, type Kept, type Line, MOST } from './lines';
import { KINDS, LEVELS, logRoute } from './route';

type Level = (typeof LEVELS)[number];

const TONES: Readonly<Record<Level, Tone>> = { error: 'bad', warn: 'warn', info: 'idle' };
const LEVEL_NAMES: Readonly<Record<Level, string>> = { error: 'Errors', warn: 'Warnings and errors', info: 'Everything' };

/** Lines of an answer at most. */
const PART = 1_000;

/** Only what came since is asked for, and added to what is here. */
async function follow(queries: QueryClient, key: readonly string[], level: Level, signal: AbortSignal): Promise<Kept> {
  let kept = queries.getQueryData<Kept>(key);
  for (;;) {
    const answer = await read(api.GET('/api/v1/log', { params: { query: { level, limit: PART, after: kept?.reached ?? 0 } }, signal }));
    if (kept !== undefined && answer.last < kept.reached) {
      // The gateway began anew, and its lines count from the start.
      kept = undefined;
      continue;
    }
    kept = joined(kept, answer.lines, answer.lines.length < PART ? answer.last : undefined);
    if (answer.lines.length < PART) return kept;
  }
}

/** What the gateway says of itself, as it says it. */
export function Log() {
  const search = logRoute.useSearch();
  const navigate = logRoute.useNavigate();
  const queries = useQueryClient();
  const level = search.level ?? 'info';
  const still = search.still === true;
  const every = useAskEvery();
  const key = ['log', level];
  const asked = useQuery({ queryKey: key, queryFn: ({ signal }) => follow(queries, key, level, signal), enabled: !still, refetchInterval: every, gcTime: 0 });
  const [shown, setShown] = useState<Line | null>(null);
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const changes = search.show === 'changes';
  const text = search.q ?? '';
  const rows = useMemo(
    () => asked.data?.lines.filter((line) => (!changes || isChange(line)) && (text === '' || contains(line, text))).toReversed(),
    [asked.data, changes, text],
  );
  const filtered = changes || text !== '' || search.level !== undefined;
  const columns: readonly Column<Line>[] = [
    { id: 'number', head: 'No.', align: 'right', value: (row) => row.number, cell: (row) => row.number },
    { id: 'at', head: 'When', value: (row) => row.at, cell: (row) => <span className="sg-log-when"><Exact at={row.at} /></span> },
    { id: 'level', head: 'Level', value: (row) => row.level, cell: (row) => <State tone={TONES[row.level]}>{row.level}</State> },
    {
      id: 'message',
      head: 'What happened',
      value: (row) => row.message,
      cell: (row) => (
        <button type="button" className="sg-plain sg-log-what" title="Show the whole line" onClick={() => setShown(row)}>
          {row.message}
        </button>
      ),
    },
    {
      id: 'fields',
      head: 'With',
      value: (row) => fieldsOf(row).map(([name, value]) => `${name}=${value}`).join(' '),
      cell: (row) => (
        <span className="sg-log-fields">
          {fieldsOf(row).map(([name, value]) => (
            <span key={name}>
              {name}=<b>{value}</b>
            </span>
          ))}
        </span>
      ),
    },
    { id: 'target', head: 'Part', value: (row) => row.target, cell: (row) => <code>{row.target}</code> },
  ];
  return (
    <Page title="Log" lead={`The newest ${MOST.toLocaleString('en-US')} lines of this gateway, from its memory. The whole log goes to its standard error; names of objects stand there as digests.`}>
      <div className="sg-panel">
        <DataTable
          what="lines of the log"
          columns={columns}
          rows={rows}
          rowKey={(row) => String(row.number)}
          asked={asked}
          tools={
            <>
              <Select
                label="Level"
                w={190}
                allowDeselect={false}
                value={level}
                data={LEVELS.toReversed().map((value) => ({ value, label: LEVEL_NAMES[value] }))}
                onChange={(value) => set({ level: LEVELS.find((one) => one === value && one !== 'info') })}
              />
              <Select
                label="Lines"
                w={210}
                allowDeselect={false}
                value={search.show ?? 'all'}
                data={[
                  { value: 'all', label: 'All' },
                  { value: 'changes', label: 'Who changed what' },
                ]}
                onChange={(value) => set({ show: KINDS.find((one) => one === value && one !== 'all') })}
              />
              <TextInput label="Contains" w={220} placeholder="status=403" value={text} onChange={(event) => set({ q: event.currentTarget.value || undefined })} />
              {filtered && (
                <Button variant="default" onClick={() => void navigate({ search: { still: search.still }, replace: true })}>
                  Reset
                </Button>
              )}
              <span className="sg-grow" />
              <Switch mb={8} label="New lines as they come" checked={!still} onChange={(event) => set({ still: event.currentTarget.checked ? undefined : true })} />
            </>
          }
          empty={
            filtered ? (
              <Empty title="No line is like that">{changes ? 'Nobody changed anything through the administration interface, as far back as the gateway remembers.' : 'Reset the filter to see all lines.'}</Empty>
            ) : (
              <Empty title="The log is empty">The gateway writes a line for each request and each change.</Empty>
            )
          }
        />
      </div>
      {shown && (
        <Modal opened onClose={() => setShown(null)} size="lg" title={`Line ${shown.number}`} closeButtonProps={{ 'aria-label': 'Close' }}>
          <Pairs
            of={[
              ['What happened', shown.message],
              ['When', <Exact key="at" at={shown.at} />],
              ['Level', <State key="level" tone={TONES[shown.level]}>{shown.level}</State>],
              ['Part', <code key="target">{shown.target}</code>],
              ...fieldsOf(shown).map(([name, value]) => [name, <code key={name}>{value}</code>] as const),
            ]}
          />
        </Modal>
      )}
    </Page>
  );
}
