import { Button, Group, Stack } from '@mantine/core';
import { read } from '@frame/api';
import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Confirm } from '@frame/parts/Confirm';
import { Empty, Note, Shown } from '@frame/parts/Note';
import { Page, Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { State, Tag } from '@frame/parts/State';
import { Time } from '@frame/parts/Time';
import { explain } from '@frame/problem';
import { tell } from '@frame/tell';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { api } from '../api';
import { type Kms as One, kmsQuery } from './data';
import { KeyForm } from './form';
import { Remove, RemoveVersion } from './remove';

type Open =
  | { readonly is: 'add' }
  | { readonly is: 'rotate' | 'activate' | 'remove'; readonly kms: One }
  | { readonly is: 'version'; readonly kms: One; readonly version: One['keys'][number] };

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
            {all.length > 0 && (
              <Note tone="warn" title="Keep your own copy of each key">
                Without its key, what was encrypted under it cannot be read by anybody. The gateway keeps the key sealed and never shows it again: keep the file that you uploaded. A key that was made in place is backed up with the system bucket and the sealing key of the gateways.
              </Note>
            )}
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
                <Small
                  what={`Keys of ${kms.id}`}
                  head={['Version', 'Key', 'Length', 'Added', 'Change']}
                  none="It has no key."
                  rows={kms.keys.map((key) => [
                    <>
                      {key.number} {key.active && <Tag tone="accent">newest</Tag>}
                    </>,
                    <code key="key">{key.key}</code>,
                    `${count(key.bits)} bits`,
                    <Time key="added" at={key.added} />,
                    key.active ? (
                      ''
                    ) : (
                      <Button key="remove" size="compact-xs" variant="default" c="var(--sg-bad)" onClick={() => setOpen({ is: 'version', kms, version: key })}>
                        Remove
                        <span className="sg-hidden">
                          {' '}
                          version {key.number} of {kms.id}
                        </span>
                      </Button>
                    ),
                  ])}
                />
              </Panel>
            ))}
          </Stack>
        )}
      </Shown>
      {open?.is === 'add' && <KeyForm active={active} onClose={shut} />}
      {open?.is === 'rotate' && <KeyForm rotate={open.kms} active={active} onClose={shut} />}
      {open?.is === 'activate' && <Activate kms={open.kms} onClose={shut} />}
      {open?.is === 'remove' && <Remove kms={open.kms} onClose={shut} />}
      {open?.is === 'version' && <RemoveVersion kms={open.kms} version={open.version} onClose={shut} />}
    </Page>
  );
}

function Activate({ kms, onClose }: { readonly kms: One; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const activating = useMutation({
    mutationFn: () => read(api.POST('/api/v1/kms/{id}/activate', { params: { path: { id: kms.id } } })),
    onSuccess: async () => {
      tell.done(`${kms.id} is active`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  return (
    <Confirm
      title={`Activate ${kms.id}?`}
      impact="New objects are encrypted under it, at every gateway of the group. What is stored stays under the KMS that it was encrypted under, and needs it still."
      verb="Activate"
      busy={activating.isPending}
      error={activating.error}
      onConfirm={() => activating.mutate()}
      onClose={onClose}
    />
  );
}

/** Has the gateway wrap and unwrap a key, and says how that went. */
function Test({ kms }: { readonly kms: One }) {
  const testing = useMutation({
    mutationFn: () => read(api.POST('/api/v1/kms/{id}/probe', { params: { path: { id: kms.id } } })),
    onSuccess: (found) => tell.done(`${kms.id} works`, `A key was wrapped and unwrapped in ${count(found.duration_ms)} ms.`),
    onError: (error) => tell.failed(`${kms.id} does not work`, explain(error)),
  });
  return (
    <Button size="xs" variant="default" loading={testing.isPending} onClick={() => testing.mutate()}>
      Test<span className="sg-hidden"> {kms.id}</span>
    </Button>
  );
}
