import { Button, Select, Stack } from '@mantine/core';
import { count, share } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { type Column, DataTable } from '@frame/parts/DataTable';
import { Empty, Note } from '@frame/parts/Note';
import { Page } from '@frame/parts/Page';
import { State, type Tone } from '@frame/parts/State';
import { Figure } from '@frame/parts/Tile';
import { Age } from '@frame/parts/Time';
import { Typed } from '@frame/parts/Typed';
import { Way } from '@frame/parts/Way';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';

import { listed } from '../gateways/data';
import { type BucketCoverage, coverageQuery } from './data';
import { coverageRoute, SHOWN } from './route';
import { type Amount, counted, isUnlooked, known, knownBytes, type Sums, sumsOf } from './sums';

const SHOWN_NAMES = {
  uncovered: 'With plain objects',
  unknown: 'Never looked through',
  covered: 'Encrypting all new',
  open: 'Not encrypting all new',
} as const;

/** Whether a bucket is among those that are shown; the overview counts them by the same words. */
function isShown(show: keyof typeof SHOWN_NAMES | undefined, row: BucketCoverage): boolean {
  switch (show) {
    case undefined:
      return true;
    case 'covered':
      return row.encrypting;
    case 'open':
      return !row.encrypting;
    case 'uncovered':
      return row.objects_plain > 0;
    case 'unknown':
      return isUnlooked(row);
  }
}

/** Objects, and below them their data. */
function Known({ amount, least, tone }: { readonly amount: Amount; readonly least: boolean; readonly tone?: Tone }) {
  const data = knownBytes(amount, least);
  const told = known(amount.objects, least);
  return (
    <>
      {tone !== undefined && amount.objects > 0 ? <State tone={tone}>{told}</State> : told}
      {data !== undefined && <small className="sg-second" title={`${count(amount.bytes)} bytes`}>{data}</small>}
    </>
  );
}

/** What the buckets that are shown hold together. */
function Sum({ of, onUnlooked }: { readonly of: Sums; readonly onUnlooked: () => void }) {
  const least = of.unlooked > 0;
  return (
    <section aria-label="Sum of the buckets shown" className="sg-tiles sg-four">
      <Figure name="Buckets shown" value={count(of.buckets)}>
        {least ? (
          <button type="button" className="sg-plain" onClick={onUnlooked}>
            {count(of.unlooked)} never looked through
          </button>
        ) : (
          'all looked through'
        )}
      </Figure>
      <Figure name="Objects encrypted" value={known(of.encrypted.objects, least)}>
        {knownBytes(of.encrypted, least)}
      </Figure>
      <Figure name="Objects plain" value={known(of.plain.objects, least)}>
        {knownBytes(of.plain, least)}
      </Figure>
      <Figure name="Objects unknown" value={known(of.unknown, least)}>
        {least ? 'there may be any number of them' : 'not known whether encrypted'}
      </Figure>
    </section>
  );
}

/** Whether all new objects are encrypted; where a policy alone asks for it, not while gateways decide by other ones. */
function encrypts(row: BucketCoverage): string {
  if (row.encrypting) return 'all';
  if (row.because === '' || row.differing === 0) return 'not all';
  return `not all: ${row.differing} ${row.differing === 1 ? 'gateway differs' : 'gateways differ'}`;
}

const COLUMNS: readonly Column<BucketCoverage>[] = [
  { id: 'bucket', head: 'Bucket', clip: true, value: (row) => row.bucket, cell: (row) => row.bucket },
  {
    id: 'encrypting',
    head: 'Encrypts new',
    hint: 'Whether every new object is encrypted, by whichever gateway it comes',
    value: encrypts,
    cell: (row) => <State tone={row.encrypting ? 'good' : 'warn'}>{encrypts(row)}</State>,
  },
  { id: 'because', head: 'Because of', value: (row) => row.because, cell: (row) => <Because of={row.because} /> },
  { id: 'kms', head: 'KMS ID', hint: 'By which new objects are encrypted', value: (row) => row.kms_id, cell: (row) => row.kms_id ?? 'none active' },
  {
    id: 'share',
    head: 'Share',
    hint: 'Encrypted objects of all that are encrypted or plain',
    align: 'right',
    value: (row) => (isUnlooked(row) || row.objects_encrypted + row.objects_plain === 0 ? null : row.objects_encrypted / (row.objects_encrypted + row.objects_plain)),
    cell: (row) => (isUnlooked(row) ? 'not known' : share(row.objects_encrypted, row.objects_encrypted + row.objects_plain)),
  },
  {
    id: 'objects_encrypted',
    head: 'Encrypted',
    hint: 'Objects that are known to be encrypted, and their data as clients see it',
    align: 'right',
    value: (row) => counted(row.objects_encrypted, row),
    cell: (row) => <Known amount={{ objects: row.objects_encrypted, bytes: row.bytes_encrypted }} least={isUnlooked(row)} />,
  },
  {
    id: 'objects_plain',
    head: 'Plain',
    hint: 'Objects that are known to be plain, and their data',
    align: 'right',
    value: (row) => counted(row.objects_plain, row),
    cell: (row) => <Known amount={{ objects: row.objects_plain, bytes: row.bytes_plain }} least={isUnlooked(row)} tone="warn" />,
  },
  {
    id: 'objects_unknown',
    head: 'Unknown',
    hint: 'Objects of which it could not be told, or how many there are besides is not known',
    align: 'right',
    value: (row) => row.objects_unknown,
    cell: (row) => known(row.objects_unknown ?? 0, isUnlooked(row)),
  },
  { id: 'bytes_encrypted', head: 'Encrypted data in bytes', file: true, value: (row) => counted(row.bytes_encrypted, row) },
  { id: 'bytes_plain', head: 'Plain data in bytes', file: true, value: (row) => counted(row.bytes_plain, row) },
  { id: 'numbers', head: 'Numbers are', file: true, value: (row) => (isUnlooked(row) ? 'at least: never looked through' : 'of the whole bucket') },
  {
    id: 'looked',
    head: 'Looked through',
    hint: 'When all of the bucket was last looked through, and by which gateway',
    value: (row) => row.looked_age_s,
    cell: (row) => (
      <>
        {isUnlooked(row) ? 'never, told' : <><Age seconds={row.looked_age_s ?? 0} /> ago</>} by{' '}
        <Link to="/gateways/$name" params={{ name: row.gateway }}>
          {row.gateway}
        </Link>
      </>
    ),
  },
  { id: 'gateway', head: 'Told by', file: true, value: (row) => row.gateway },
];

const POLICY = 'policy ';

/** What asks for encryption: a policy is a way to it. */
function Because({ of }: { readonly of: string }) {
  if (of === '') return <span style={{ color: 'var(--sg-quiet)' }}>nothing</span>;
  if (!of.startsWith(POLICY)) return <>{of}</>;
  const name = of.slice(POLICY.length);
  return (
    <span style={{ whiteSpace: 'nowrap' }}>
      <Way needs="read-policies" to="/policies/$name" params={{ name }}>
        {name}
      </Way>
    </span>
  );
}

/** How much of what is stored is encrypted, and what is not, as a list that can be taken away. */
export function Coverage() {
  const search = coverageRoute.useSearch();
  const navigate = coverageRoute.useNavigate();
  const asked = useQuery({
    ...coverageQuery(listed(search.gateways), search.q?.toLowerCase()),
    refetchInterval: useAskEvery(),
    placeholderData: keepPreviousData,
  });
  const rows = useMemo(() => asked.data?.coverage.filter((row) => isShown(search.show, row)), [asked.data, search.show]);
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const filtered = search.q !== undefined || search.show !== undefined || search.gateways !== undefined;
  return (
    <Page
      title="Coverage"
      lead="What the storages hold, bucket by bucket, as their gateways last saw them. Gateways over one storage are never added up."
      actions={
        <>
          <Button variant="default" renderRoot={(props) => <Link {...props} to="/figures" search={{ by: 'policy', gateways: search.gateways }} />}>
            Sums by policy
          </Button>
          <Button variant="default" renderRoot={(props) => <Link {...props} to="/kms" search={{ gateways: search.gateways }} />}>
            Objects by KMS
          </Button>
        </>
      }
    >
      <Stack gap="sm">
        {asked.data?.truncated === true && <Note tone="warn">There are more than 10,000 buckets; these are the first of them. Narrow them down by name or gateway.</Note>}
        {rows !== undefined && rows.length > 0 && <Sum of={sumsOf(rows)} onUnlooked={() => set({ show: 'unknown' })} />}
        <div className="sg-panel">
          <DataTable
            what="buckets"
            columns={COLUMNS}
            rows={rows}
            rowKey={(row) => `${row.storage_id} ${row.bucket}`}
            asked={asked}
            sort={search.sort}
            onSort={(sort) => set({ sort })}
            tools={
              <>
                <Typed label="Bucket" placeholder="part of its name" value={search.q} onChange={(q) => set({ q })} />
                <Typed label="Behind gateways" placeholder="any" value={search.gateways} onChange={(gateways) => set({ gateways })} />
                <Select
                  label="Show"
                  w={200}
                  clearable
                  clearButtonProps={{ 'aria-label': 'All buckets' }}
                  placeholder="all"
                  value={search.show ?? null}
                  data={SHOWN.map((value) => ({ value, label: SHOWN_NAMES[value] }))}
                  onChange={(value) => set({ show: SHOWN.find((one) => one === value) })}
                />
                {filtered && (
                  <Button variant="default" onClick={() => void navigate({ search: { sort: search.sort }, replace: true })}>
                    Reset
                  </Button>
                )}
              </>
            }
            empty={
              filtered ? (
                <Empty title="No bucket is like that">
                  {search.show === 'uncovered' ? 'Every object that is known is encrypted.' : 'Reset the filter to see all buckets.'}
                </Empty>
              ) : (
                <Empty title="No bucket is known yet">Gateways look through their storage soon after they start, and tell Central what they found.</Empty>
              )
            }
          />
        </div>
      </Stack>
    </Page>
  );
}
