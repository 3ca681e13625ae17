import { Button, Group, Stack } from '@mantine/core';
import { read } from '@frame/api';
import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { AskFirst } from '@frame/parts/Confirm';
import { CopyButton } from '@frame/parts/Copy';
import type { Column } from '@frame/parts/DataTable';
import { Empty, Note, Shown } from '@frame/parts/Note';
import { Page, Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { State, Tag } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { explain, Problem } from '@frame/problem';
import { tell } from '@frame/tell';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { api } from '../api';
import { alone, Kept, Take } from './copies';
import { type Kms as One, kmsQuery } from './data';
import { KeyForm } from './form';
import { Remove, RemoveVersion } from './remove';

type Open =
  | { readonly is: 'add' }
  | { readonly is: 'rotate' | 'activate' | 'remove'; readonly kms: One }
  | { readonly is: 'version' | 'copy' | 'kept'; readonly kms: One; readonly version: Key };

type Key = One['keys'][number];

/** Where else the key is, in words. */
const backup = (key: Key): string => (!key.made_here ? 'the file that was uploaded' : key.backup ? `done ${key.backup.at} by ${key.backup.by}` : 'none is recorded');

const columnsOf = (kms: One, open: (what: Open) => void): readonly Column<Key>[] => [
  {
    id: 'number',
    head: 'Version',
    value: (key) => key.number,
    cell: (key) => (
      <Group gap={6} wrap="nowrap">
        {key.number} {key.active && <Tag tone="accent">newest</Tag>}
      </Group>
    ),
  },
  {
    id: 'key',
    head: 'Key',
    value: (key) => key.key,
    cell: (key) => (
      <div className="sg-copy" title={key.key}>
        <code>{key.key.slice(0, 23)}…</code>
        <CopyButton value={key.key} what={`the fingerprint of version ${key.number} of ${kms.id}`} />
      </div>
    ),
  },
  { id: 'bits', head: 'Length', value: (key) => key.bits, cell: (key) => `${count(key.bits)}\u00a0bits` },
  { id: 'added', head: 'Added', value: (key) => key.added, cell: (key) => <Time at={key.added} /> },
  { id: 'backup', head: 'Backup', value: backup, cell: (key) => <CopyState of={key} /> },
  {
    id: 'actions',
    head: 'Change',
    cell: (key) => (
      <Group gap={6} wrap="nowrap">
        {key.made_here && (
          <Button size="compact-xs" variant="default" onClick={() => open({ is: 'copy', kms, version: key })}>
            Download a copy
            <Of kms={kms} version={key} />
          </Button>
        )}
        {key.made_here && !key.backup && (
          <Button size="compact-xs" variant="default" onClick={() => open({ is: 'kept', kms, version: key })}>
            Backup is done
            <Of kms={kms} version={key} />
          </Button>
        )}
        {!key.active && (
          <Button size="compact-xs" variant="default" c="var(--sg-bad)" onClick={() => open({ is: 'version', kms, version: key })}>
            Remove
            <Of kms={kms} version={key} />
          </Button>
        )}
      </Group>
    ),
  },
];

/** Where the group's key encryption keys come from. */
export function Kms() {
  const list = useQuery({ ...kmsQuery(), refetchInterval: useAskEvery() });
  const [open, setOpen] = useState<Open | null>(null);
  const shut = () => setOpen(null);
  const active = list.data?.kms.find((kms) => kms.active)?.id;
  const add = <Button onClick={() => setOpen({ is: 'add' })}>Add a KMS</Button>;
  return (
    <Page title="KMS" lead="The master keys under which objects are encrypted. All gateways of the group share them." actions={add}>
      <Shown of={list} what="KMS">
        {({ kms: all }) => (
          <Stack gap="sm">
            {all.length > 0 && <Reminder of={all} />}
            {all.length === 0 && (
              <div className="sg-panel">
                <Empty title="There is no KMS" action={add}>
                  Nothing can be encrypted without one. Upload an RSA key, or make one in place.
                </Empty>
              </div>
            )}
            {all.map((kms) => (
              <Panel
                key={kms.id}
                title={kms.id}
                flush
                aside={
                  <Group gap={6}>
                    <Test kms={kms} />
                    {!kms.active && (
                      <Button size="xs" onClick={() => setOpen({ is: 'activate', kms })}>
                        Activate<span className="sg-hidden"> {kms.id}</span>
                      </Button>
                    )}
                    <Button size="xs" variant="default" onClick={() => setOpen({ is: 'rotate', kms })}>
                      Rotate<span className="sg-hidden"> {kms.id}</span>
                    </Button>
                    <Button size="xs" variant="default" c="var(--sg-bad)" onClick={() => setOpen({ is: 'remove', kms })}>
                      Remove<span className="sg-hidden"> {kms.id}</span>
                    </Button>
                  </Group>
                }
              >
                <Group className="sg-body" gap={8}>
                  <State tone={kms.state === 'ok' ? 'good' : 'bad'}>{kms.state === 'ok' ? 'can be used' : `cannot be used: ${kms.error ?? 'see the log'}`}</State>
                  {kms.active && <Tag tone="accent">active: new objects are encrypted under it</Tag>} <Tag>{kms.provider.toUpperCase()}</Tag>
                  {kms.known_objects === null || kms.known_objects === undefined ? <span>How many objects need it is not known.</span> : <span>{count(kms.known_objects)} objects are known to need it.</span>}
                </Group>
                <Small what={`keys of ${kms.id}`} columns={columnsOf(kms, setOpen)} rows={kms.keys} rowKey={(key) => String(key.number)} none="It has no key." />
              </Panel>
            ))}
          </Stack>
        )}
      </Shown>
      {open?.is === 'add' && <KeyForm active={active} onClose={shut} />}
      {open?.is === 'rotate' && <KeyForm rotate={open.kms} active={active} onClose={shut} />}
      {open?.is === 'activate' && <Activate kms={open.kms} onClose={shut} />}
      {open?.is === 'remove' && <Remove kms={open.kms} onClose={shut} />}
      {open?.is === 'copy' && <Take of={{ kms: open.kms.id, version: open.version }} onClose={shut} />}
      {open?.is === 'kept' && <Kept of={{ kms: open.kms.id, version: open.version }} onClose={shut} />}
      {open?.is === 'version' && <RemoveVersion kms={open.kms} version={open.version} onClose={shut} />}
    </Page>
  );
}

function Activate({ kms, onClose }: { readonly kms: One; readonly onClose: () => void }) {
  return (
    <AskFirst
      title={`Activate ${kms.id}?`}
      impact="New objects are encrypted under it, at every gateway of the group. What is stored stays under the KMS that it was encrypted under, and needs it still."
      verb="Activate"
      act={() => read(api.POST('/api/v1/kms/{id}/activate', { params: { path: { id: kms.id } } }))}
      done={`${kms.id} is active`}
      stale={['group']}
      onClose={onClose}
    />
  );
}

/** What is to be done so that no key can be lost. */
function Reminder({ of }: { readonly of: readonly One[] }) {
  const without = of.flatMap((kms) => alone(kms).map((key) => `version ${key.number} of ${kms.id}`));
  if (without.length === 0) {
    return <Note title="Keep a copy of each key">Without its key, what was encrypted under it cannot be read by anybody. Of a key that was uploaded, keep the file that it came from; of one that was made in place, the copy that was downloaded.</Note>;
  }
  return (
    <Note tone="warn" title={without.length === 1 ? 'A key exists here only, as far as is known' : `${count(without.length)} keys exist here only, as far as is known`}>
      <p>If one is lost, what was encrypted under it cannot be read by anybody. Download a copy, keep it elsewhere, and say so with “Backup is done”: {without.join(', ')}.</p>
    </Note>
  );
}

/** For whoever does not see in which row a button is. */
function Of({ kms, version }: { readonly kms: One; readonly version: Key }) {
  return (
    <span className="sg-hidden">
      {' '}
      of version {version.number} of {kms.id}
    </span>
  );
}

/** Where else the key is. */
function CopyState({ of }: { readonly of: Key }) {
  if (!of.made_here) return <>the file that was uploaded</>;
  if (!of.backup) return <State tone="warn">none is recorded</State>;
  return (
    <State tone="good">
      <span>
        done <Time at={of.backup.at} /> by {of.backup.by}
      </span>
    </State>
  );
}

/** Has the gateway wrap and unwrap a key, and says how that went. */
function Test({ kms }: { readonly kms: One }) {
  const testing = useMutation({
    mutationFn: () => read(api.POST('/api/v1/kms/{id}/probe', { params: { path: { id: kms.id } } })),
    onSuccess: (found) => tell.done(`${kms.id} works`, `A key was wrapped and unwrapped in ${count(found.duration_ms)} ms.`),
    // Only an answer tells something of the KMS.
    onError: (error) => tell.failed(error instanceof Problem ? `${kms.id} does not work` : `${kms.id} could not be tested`, explain(error)),
  });
  return (
    <Button size="xs" variant="default" loading={testing.isPending} onClick={() => testing.mutate()}>
      Test<span className="sg-hidden"> {kms.id}</span>
    </Button>
  );
}
