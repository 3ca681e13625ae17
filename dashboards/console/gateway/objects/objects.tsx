import './objects.css';

import { ActionIcon, Button, FileButton, Group, Select, Stack, Switch, TextInput, Tooltip } from '@mantine/core';
import { bytes, count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Failure } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { IconDownload, IconFile, IconFolder, IconTrash } from '@tabler/icons-react';
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type DragEvent, type ReactNode, type SyntheticEvent, useEffect, useMemo, useState } from 'react';

import { bucketsQuery } from '../buckets/data';
import { Because, Effective } from '../buckets/why';
import { ChooseBucket } from './choose';
import { download, type Entry, everything, listQuery, nameOf, type Place } from './data';
import { type Chosen, chosen, dropped } from './dropped';
import { Remove } from './remove';
import { objectsRoute } from './route';
import { ObjectStatus } from './status';
import { Uploads } from './upload';
import { add, whenStored } from './uploads';

/** What lies in the buckets. */
export function Objects() {
  const search = objectsRoute.useSearch();
  const navigate = objectsRoute.useNavigate();
  const buckets = useQuery({ ...bucketsQuery(), refetchInterval: useAskEvery() });
  const { bucket } = search;
  const found = buckets.data?.buckets.find((one) => one.bucket === bucket);
  const choose = (
    <Select
      label="Bucket"
      w={240}
      searchable
      placeholder="Choose a bucket"
      nothingFoundMessage="No bucket is called that"
      allowDeselect={false}
      value={bucket ?? null}
      data={buckets.data?.buckets.map((one) => one.bucket) ?? []}
      onChange={(value) => void navigate({ search: { bucket: value ?? undefined } })}
    />
  );
  return (
    <Page
      title="Objects"
      lead={
        found ? (
          <>
            New objects in {found.bucket}: <Effective of={found} />, because of: <Because of={found} />.
          </>
        ) : (
          'Choose a bucket to see what lies in it, as clients do.'
        )
      }
    >
      <Stack gap="sm">
        <Uploads />
        {bucket === undefined ? (
          <ChooseBucket />
        ) : (
          <Folder key={bucket} place={{ bucket, prefix: search.prefix ?? '', flat: search.flat === true }} choose={choose} />
        )}
      </Stack>
      {bucket !== undefined && search.key !== undefined && <ObjectStatus bucket={bucket} of={search.key} onClose={() => void navigate({ search: { ...search, key: undefined } })} />}
    </Page>
  );
}

/** What a row is called: the rest of its key below the folder. */
const called = (key: string, prefix: string): string => (key.startsWith(prefix) && key.length > prefix.length ? key.slice(prefix.length) : nameOf(key));

function Folder({ place, choose }: { readonly place: Place; readonly choose: ReactNode }) {
  const { bucket, prefix, flat } = place;
  const search = objectsRoute.useSearch();
  const navigate = objectsRoute.useNavigate();
  const queries = useQueryClient();
  const list = useInfiniteQuery(listQuery(place));
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.entries), [list.data]);
  const [removing, setRemoving] = useState<string | null>(null);
  const [over, setOver] = useState(false);
  const getting = useMutation({ mutationFn: ({ key, size }: { readonly key: string; readonly size: number }) => download(bucket, key, size) });

  useEffect(() => whenStored(() => void queries.invalidateQueries({ queryKey: ['objects'] })), [queries]);

  // Into the folder that is open, and not to what else begins so.
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  const send = (files: readonly Chosen[]) => add(bucket, files.map(({ path, file }) => ({ key: `${folder}${path}`, file })));
  const drop = async (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    send(await dropped(event.dataTransfer.items));
  };
  const drag = (event: DragEvent) => {
    if (!event.dataTransfer.types.includes('Files')) return;
    event.preventDefault();
    setOver(true);
  };
  const left = (event: DragEvent) => {
    if (!(event.relatedTarget instanceof Node && event.currentTarget.contains(event.relatedTarget))) setOver(false);
  };

  const columns: readonly Column<Entry>[] = [
    {
      id: 'name',
      head: 'Name',
      clip: true,
      value: (row) => (row.is === 'folder' ? row.prefix : row.key),
      cell: (row) => <Name of={row} place={place} />,
    },
    { id: 'size', head: 'Size', hint: 'As clients see it', align: 'right', value: (row) => (row.is === 'folder' ? '' : row.size), cell: (row) => row.is === 'object' && <span title={`${count(row.size)} bytes`}>{bytes(row.size)}</span> },
    {
      id: 'state',
      head: 'State',
      value: (row) => (row.is === 'folder' ? 'folder' : stateOf(row)),
      cell: (row) => row.is === 'object' && <State tone={row.encrypted === true ? 'good' : row.encrypted === false ? 'idle' : 'warn'}>{stateOf(row)}</State>,
    },
    { id: 'kms', head: 'KMS', value: (row) => (row.is === 'folder' ? '' : row.kms_id), cell: (row) => row.is === 'object' && (row.kms_id ? <Link to="/kms" className="sg-name">{row.kms_id}</Link> : '–') },
    { id: 'modified', head: 'Stored', value: (row) => (row.is === 'folder' ? '' : row.modified), cell: (row) => row.is === 'object' && <Time at={row.modified} /> },
    {
      id: 'actions',
      head: 'Actions',
      cell: (row) =>
        row.is === 'object' && (
          <Group gap={4} wrap="nowrap">
            <Tooltip label="Download">
              <ActionIcon variant="default" aria-label={`Download ${row.key}`} loading={getting.isPending && getting.variables.key === row.key} onClick={() => getting.mutate(row)}>
                <IconDownload size={15} aria-hidden />
              </ActionIcon>
            </Tooltip>
            <Tooltip label="Delete">
              <ActionIcon variant="default" c="var(--sg-bad)" aria-label={`Delete ${row.key}`} onClick={() => setRemoving(row.key)}>
                <IconTrash size={15} aria-hidden />
              </ActionIcon>
            </Tooltip>
          </Group>
        ),
    },
  ];
  return (
    <>
      {getting.isError && <Failure error={getting.error} />}
      {/* eslint-disable-next-line jsx-a11y/no-static-element-interactions -- dropping is for the mouse; the button is for the keyboard */}
      <div className="sg-panel sg-drop" data-over={over || undefined} onDragEnter={drag} onDragOver={drag} onDragLeave={left} onDrop={(event) => void drop(event)}>
        <Way place={place} />
        <DataTable
          what={`objects of ${bucket}`}
          columns={columns}
          rows={rows}
          rowKey={(row) => (row.is === 'folder' ? `/${row.prefix}` : `.${row.key}`)}
          asked={list}
          more={{ has: list.hasNextPage, busy: list.isFetchingNextPage, load: () => void list.fetchNextPage() }}
          all={() => everything(place)}
          tools={
            <>
              {choose}
              <Begins key={prefix} prefix={prefix} onChange={(to) => void navigate({ search: { ...search, prefix: to === '' ? undefined : to, key: undefined } })} />
              <Switch mb={8} label="Without folders" checked={flat} onChange={(event) => void navigate({ search: { ...search, flat: event.currentTarget.checked || undefined }, replace: true })} />
              <span className="sg-grow" />
              <Button variant="default" loading={list.isRefetching && !list.isFetchingNextPage} onClick={() => void list.refetch()}>
                Reload
              </Button>
              <FileButton multiple onChange={(files) => send(chosen(files))}>
                {(props) => <Button {...props}>Upload files</Button>}
              </FileButton>
            </>
          }
          empty={
            <Empty title={prefix === '' ? 'The bucket is empty' : 'Nothing begins like that'}>
              {prefix === '' ? 'Drop files here, or choose them with “Upload files”.' : `No key in ${bucket} begins with ${prefix}. What is uploaded here goes into ${folder === '' ? 'the bucket' : folder}.`}
            </Empty>
          }
        />
      </div>
      {removing !== null && <Remove bucket={bucket} of={removing} onDone={() => setRemoving(null)} onClose={() => setRemoving(null)} />}
    </>
  );
}

const stateOf = (row: { readonly encrypted?: boolean | null | undefined }): string => (row.encrypted === true ? 'encrypted' : row.encrypted === false ? 'plain' : 'not known');

function Name({ of: row, place }: { readonly of: Entry; readonly place: Place }) {
  if (row.is === 'folder') {
    return (
      <Link className="sg-name" to="/objects" search={{ bucket: place.bucket, prefix: row.prefix }} title={row.prefix}>
        <IconFolder size={16} aria-hidden />
        {called(row.prefix, place.prefix)}
      </Link>
    );
  }
  return (
    <Link className="sg-name" to="/objects" search={(now) => ({ ...now, key: row.key })} title={row.key}>
      <IconFile size={16} aria-hidden />
      {row.key === place.prefix ? 'the folder itself' : called(row.key, place.prefix)}
    </Link>
  );
}

/** The folders above, each a way back. */
function Way({ place }: { readonly place: Place }) {
  const parts = place.prefix.split('/').slice(0, -1);
  return (
    <nav aria-label="Folder">
      <ol className="sg-folder">
        <li>
          <Link to="/objects">All buckets</Link>
        </li>
        <li>{parts.length === 0 ? <strong>{place.bucket}</strong> : <Link to="/objects" search={{ bucket: place.bucket }}>{place.bucket}</Link>}</li>
        {parts.map((part, index) => {
          const prefix = `${parts.slice(0, index + 1).join('/')}/`;
          return (
            <li key={prefix} aria-current={index === parts.length - 1 ? 'page' : undefined}>
              {index === parts.length - 1 ? (
                <strong>{part}</strong>
              ) : (
                <Link to="/objects" search={{ bucket: place.bucket, prefix }}>
                  {part}
                </Link>
              )}
            </li>
          );
        })}
      </ol>
    </nav>
  );
}

/** A prefix, typed; it holds with Enter, since each is a question to the storage. */
function Begins({ prefix, onChange }: { readonly prefix: string; readonly onChange: (prefix: string) => void }) {
  const [typed, setTyped] = useState(prefix);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    onChange(typed);
  };
  return (
    <form onSubmit={submit}>
      <Group gap={6} align="flex-end" wrap="nowrap">
        <TextInput label="Key begins with" w={220} spellCheck={false} autoComplete="off" value={typed} onChange={(event) => setTyped(event.currentTarget.value)} />
        <Button type="submit" variant="default" disabled={typed === prefix}>
          Show
        </Button>
      </Group>
    </form>
  );
}
