import { Button, Select, TextInput } from '@mantine/core';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { may, session } from '@frame/session';
import { useStore } from '@frame/store';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import { KINDS, type Notification, notificationsQuery, placeOf } from './data';
import { notificationsRoute, SEVERITIES } from './route';

const NAMES = { error: 'Somebody must act', warning: 'It may pass' } as const;

const columnsFor = (readsGateways: boolean): readonly Column<Notification>[] => [
  {
    id: 'severity',
    head: 'Severity',
    value: (row) => row.severity,
    cell: (row) => <State tone={row.severity === 'error' ? 'bad' : 'warn'}>{NAMES[row.severity]}</State>,
  },
  { id: 'kind', head: 'What', value: (row) => KINDS[row.kind], cell: (row) => KINDS[row.kind] },
  {
    id: 'subject',
    head: 'Gateway',
    value: (row) => row.subject,
    cell: (row) => <Link {...placeOf(row, readsGateways)}>{row.subject}</Link>,
  },
  { id: 'message', head: 'What happened, and what to do', value: (row) => row.message, cell: (row) => <span className="sg-sentence">{row.message}</span> },
  { id: 'since', head: 'Since', value: (row) => row.since, cell: (row) => <Time at={row.since} /> },
];

/** What an administrator should look at now. It leaves by itself when it is settled. */
export function NotificationList() {
  const search = notificationsRoute.useSearch();
  const navigate = notificationsRoute.useNavigate();
  const readsGateways = may(useStore(session), 'read-gateways');
  const asked = useQuery({ ...notificationsQuery(), refetchInterval: useAskEvery() });
  const columns = useMemo(() => columnsFor(readsGateways), [readsGateways]);
  const rows = useMemo(() => {
    const q = search.q?.toLowerCase() ?? '';
    return asked.data?.notifications
      .filter((one) => search.severity === undefined || one.severity === search.severity)
      .filter((one) => `${KINDS[one.kind]} ${one.subject} ${one.message}`.toLowerCase().includes(q));
  }, [asked.data, search.q, search.severity]);
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const filtered = search.q !== undefined || search.severity !== undefined;
  const more = (asked.data?.total ?? 0) - (asked.data?.notifications.length ?? 0);
  return (
    <Page title="Notifications" lead="What is the matter now. Nothing here has to be ticked off: it leaves when it is settled.">
      {more > 0 && <Note tone="warn">{`These are the newest; ${more} older ones are not shown. Settle some of these to see them.`}</Note>}
      <div className="sg-panel">
        <DataTable
          what="notifications"
          columns={columns}
          rows={rows}
          rowKey={(row) => row.id}
          asked={asked}
          sort={search.sort}
          onSort={(sort) => set({ sort })}
          tools={
            <>
              <TextInput label="Gateway or text" w={220} value={search.q ?? ''} onChange={(event) => set({ q: event.currentTarget.value || undefined })} />
              <Select
                label="Severity"
                w={190}
                clearable
                clearButtonProps={{ 'aria-label': 'Any severity' }}
                placeholder="any"
                value={search.severity ?? null}
                data={SEVERITIES.map((value) => ({ value, label: NAMES[value] }))}
                onChange={(value) => set({ severity: SEVERITIES.find((one) => one === value) })}
              />
              {filtered && (
                <Button variant="default" onClick={() => set({ q: undefined, severity: undefined })}>
                  Reset
                </Button>
              )}
            </>
          }
          empty={
            filtered ? (
              <Empty title="Nothing is like that">Reset the filter to see everything that is the matter.</Empty>
            ) : (
              <Empty title="Nothing is the matter">
                A gateway that is lost, a refused policy, a certificate near its end, a KMS that does not answer or a gap in the statistics would stand here.
              </Empty>
            )
          }
        />
      </div>
    </Page>
  );
}
