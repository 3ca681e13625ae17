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
import { tell } from '@frame/tell';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { api } from '../api';
import { type Kms as One, kmsQuery } from './data';
import { KeyForm } from './form';

type Open = { readonly is: 'add' } | { readonly is: 'rotate' | 'activate' | 'remove'; readonly kms: One };

/** Where the group's key encryption keys come from. */
export function Kms() {
  const list = useQuery({ ...kmsQuery(), refetchInterval: useAskEvery() });
  const [open, setOpen] = useState<Open | null>(null);
  const shut = () => setOpen(null);
  const add = <Button onClick={() => setOpen({ is: 'add' })}>Add a KMS</Button>;
  return (
    <Page title="KMS" lead="The master keys under which objects are encrypted. All gateways of the group share them." actions={add}>
      <Shown of={list} what="KMS">
        {({ kms: all }) => (
          <Stack gap="sm">
            {all.length > 0 && (
              <Note tone="warn" title="Keep your own copy of each key">
                Without its key, what was encrypted under it cannot be read by anybody. The gateway keeps the key sealed and never shows it again.
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
                <div className="sg-body">
                  <State tone={kms.state === 'ok' ? 'good' : 'bad'}>{kms.state === 'ok' ? 'can be used' : `cannot be used: ${kms.error ?? 'see the log'}`}</State>{' '}
                  {kms.active && <Tag tone="accent">active: new objects are encrypted under it</Tag>} <Tag>{kms.provider}</Tag>{' '}
                  {kms.known_objects === null || kms.known_objects === undefined ? 'How many objects need it is not known.' : `${count(kms.known_objects)} objects are known to need it.`}
                </div>
                <Small
                  head={['Version', 'Key', 'Bits', 'Added']}
                  none="It has no key."
                  rows={kms.keys.map((key) => [
                    <>
                      {key.number} {key.active && <Tag tone="accent">newest</Tag>}
                    </>,
                    <code key="key">{key.key}</code>,
                    count(key.bits),
                    <Time key="added" at={key.added} />,
                  ])}
                />
              </Panel>
            ))}
          </Stack>
        )}
      </Shown>
      {open?.is === 'add' && <KeyForm onClose={shut} />}
      {open?.is === 'rotate' && <KeyForm rotate={open.kms.id} onClose={shut} />}
      {open?.is === 'activate' && <Activate kms={open.kms} onClose={shut} />}
      {open?.is === 'remove' && <Remove kms={open.kms} onClose={shut} />}
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
      await queries.invalidateQueries();
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

function Remove({ kms, onClose }: { readonly kms: One; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const removing = useMutation({
    mutationFn: () => read(api.DELETE('/api/v1/kms/{id}', { params: { path: { id: kms.id }, query: { confirm: kms.id } } })),
    onSuccess: async () => {
      tell.done(`${kms.id} is removed`);
      onClose();
      await queries.invalidateQueries();
    },
  });
  const known = kms.known_objects === null || kms.known_objects === undefined ? 'An unknown number of objects needs' : `${count(kms.known_objects)} objects are known to need`;
  return (
    <Confirm
      title={`Remove ${kms.id}?`}
      impact={`${known} it, and there may be others. None of them can be read without it, until it is added again from your own copy of the key.${kms.active ? ' It is the active one: after that, nothing can be encrypted, and writes that must be are refused.' : ''}`}
      word={kms.id}
      verb="Remove"
      danger
      busy={removing.isPending}
      error={removing.error}
      onConfirm={() => removing.mutate()}
      onClose={onClose}
    />
  );
}
