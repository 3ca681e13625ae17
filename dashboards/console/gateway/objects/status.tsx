import { Button, Drawer, Group, Stack } from '@mantine/core';
import { bytes, count } from '@frame/format';
import { CopyButton } from '@frame/parts/Copy';
import { Failure, Note, Shown } from '@frame/parts/Note';
import { Pairs } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { useMutation, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';

import type { Schemas } from '../api';
import { bucketsQuery } from '../buckets/data';
import { Because, Effective } from '../buckets/why';
import { kmsQuery } from '../kms/data';
import { download, nameOf, statusQuery } from './data';
import { Remove } from './remove';

type Status = Schemas['ObjectStatus'];

interface Props {
  readonly bucket: string;
  /** The whole key. */
  readonly of: string;
  readonly onClose: () => void;
}

/** What an object is, beside the folder that it is in. */
export function ObjectStatus({ bucket, of: key, onClose }: Props) {
  const status = useQuery(statusQuery(bucket, key));
  const [removing, setRemoving] = useState(false);
  const getting = useMutation({ mutationFn: () => download(bucket, key, status.data?.size) });
  return (
    <Drawer opened onClose={onClose} closeOnEscape={!removing} position="right" size={480} title={nameOf(key)} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack gap="md">
        <Shown of={status} what="the object" lines={10}>
          {(now) => (
            <>
              {now.problem !== null && now.problem !== undefined && (
                <Note tone="bad" title="It cannot be verified">
                  {now.problem}
                </Note>
              )}
              <Protection of={now} />
              <Pairs
                of={[
                  [
                    'Object key',
                    <div className="sg-copy" key="key">
                      <code>{now.key}</code>
                      <CopyButton value={now.key} what="the key" />
                    </div>,
                  ],
                  ['Bucket', now.bucket],
                  ['Size', now.size === null || now.size === undefined ? 'not known without its key' : <Size key="size" of={now.size} />],
                  ['In the storage', <Size key="stored" of={now.stored_bytes} />],
                  ['Stored', <Time key="modified" at={new Date(now.modified).toISOString()} />],
                  ['Type', now.content_type],
                  ['ETag', <code key="etag">{now.etag}</code>],
                  ...(now.version_id === null || now.version_id === undefined ? [] : [['Version', <code key="version">{now.version_id}</code>] as const]),
                  ...Object.entries(now.metadata).map(([name, value]) => [`Metadata ${name}`, String(value)] as const),
                ]}
              />
              {getting.isError && <Failure error={getting.error} />}
              <Group gap="xs">
                <Button loading={getting.isPending} onClick={() => getting.mutate()}>
                  Download
                </Button>
                <Button variant="default" c="var(--sg-bad)" onClick={() => setRemoving(true)}>
                  Delete
                </Button>
              </Group>
            </>
          )}
        </Shown>
      </Stack>
      {removing && <Remove bucket={bucket} of={key} onDone={onClose} onClose={() => setRemoving(false)} />}
    </Drawer>
  );
}

function Size({ of: size }: { readonly of: number }) {
  return <span title={`${count(size)} bytes`}>{bytes(size)}</span>;
}

function Protection({ of }: { readonly of: Status }) {
  const buckets = useQuery(bucketsQuery());
  const bucket = buckets.data?.buckets.find((one) => one.bucket === of.bucket);
  if (of.encrypted) {
    return (
      <Pairs
        of={[
          ['State', <State key="state" tone={of.verified ? 'good' : 'bad'}>{of.verified ? 'encrypted, verified with its key' : 'encrypted, not verified'}</State>],
          ['Why', <Why key="why" of={of} />],
          ['KMS', of.kms_id ? <Link key="kms" to="/kms">{of.kms_id}</Link> : 'not known'],
          ['KMS key', <Version key="version" kms={of.kms_id} of={of.kms_key} />],
          ['Encrypted', <Time key="at" at={of.encrypted_at} never="not known" />],
          ['By', of.writer ?? 'not known'],
          ['Uploaded', of.multipart === true ? 'in parts' : 'in one piece'],
        ]}
      />
    );
  }
  return (
    <Pairs
      of={[
        ['State', <State key="state" tone="idle">plain: stored as it came</State>],
        ['Why', 'Nothing asked for encryption when it was stored, or it was stored past the gateways.'],
        ...(bucket === undefined
          ? []
          : ([
              ['New objects here', <Effective key="effective" of={bucket} />],
              ['Because of', <Because key="because" of={bucket} />],
            ] as const)),
      ]}
    />
  );
}

/** Which version of the KMS's key; told by number where the KMS is still here. */
function Version({ kms, of }: { readonly kms: string | null | undefined; readonly of: string | null | undefined }) {
  const list = useQuery(kmsQuery());
  if (of === null || of === undefined) return <>not known</>;
  const here = list.data?.kms.find((one) => one.id === kms);
  const version = here?.keys.find((one) => one.key === of);
  return (
    <>
      {version ? `version ${count(version.number)}${version.active ? ', the newest' : ''}` : list.data ? <State tone="bad">this version is not here any more</State> : 'version'} <code>{of}</code>
    </>
  );
}

function Why({ of }: { readonly of: Status }): ReactNode {
  switch (of.cause) {
    case 'toggle':
      return 'The switch of the bucket was on.';
    case 'client':
      return 'The client asked for it.';
    case 'floor':
      return 'The floor asks for it in this bucket.';
    case 'lookalike':
      return 'Its bytes begin like an encrypted object; it was encrypted so that it is not taken for one.';
    case 'policy':
      if (of.policy === null || of.policy === undefined) return 'A policy asked for it.';
      return (
        <>
          Policy{' '}
          <Link to="/policies" search={{ policy: of.policy }}>
            {of.policy}
          </Link>
          {of.policy_revision !== null && of.policy_revision !== undefined && <> at revision {count(of.policy_revision)}</>} asked for it.
        </>
      );
    default:
      return of.cause ?? 'not known';
  }
}
