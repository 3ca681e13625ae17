import { Button, Checkbox, Group, Modal, Stack, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { save } from '@frame/csv';
import { Failure, Note } from '@frame/parts/Note';
import { Pairs } from '@frame/parts/Page';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, type SyntheticEvent, useState } from 'react';

import { api, type Schemas } from '../api';
import { isGood, NO_PASSPHRASE, PassphraseTwice } from './passphrase';

type Key = Schemas['Key'];
/** A key, encrypted under a passphrase, as it was given out. */
type Copy = Schemas['KeyCopy'];

/** Which version of which KMS. */
export interface Which {
  readonly kms: string;
  readonly version: Key;
}

const fileOf = (kms: string, key: string): string => `sealgate-kms-${kms}-${key.replace('sha256:', '').slice(0, 16)}.pem`;

/** Gives a copy to the browser as a file. */
export const saveCopy = (kms: string, copy: Copy): void => save(fileOf(kms, copy.key), copy.pem, 'application/x-pem-file');

/** Keys of a KMS that were made in place, and of which nobody said to have kept a copy. */
export const alone = (kms: { readonly keys: readonly Key[] }): readonly Key[] => kms.keys.filter((key) => key.made_here && !key.backup);

/** A copy was downloaded: where it belongs, and whether it is there. */
export function Keep({ of, copy, onClose }: { readonly of: Which; readonly copy: Copy; readonly onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title={`Keep the copy of ${of.kms}`} closeOnClickOutside={false} closeOnEscape={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Record of={of} onClose={onClose} later="Later">
        <Note tone="warn" title="The copy was downloaded">
          Whoever has the file and its passphrase can read all that is encrypted under this key. Keep the two apart from each other, and away from the gateways and their storage.
        </Note>
        <Pairs
          of={[
            ['File', <code key="file">{fileOf(of.kms, copy.key)}</code>],
            ['Key', <code key="key">{copy.key}</code>],
            ['To read with it', <code key="read">sealgate object decrypt</code>],
          ]}
        />
        <Group>
          <Button size="xs" variant="default" onClick={() => saveCopy(of.kms, copy)}>
            Download it again
          </Button>
        </Group>
      </Record>
    </Modal>
  );
}

/** Says that a copy is kept, where it was downloaded some time ago. */
export function Kept({ of, onClose }: { readonly of: Which; readonly onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title={`Is a copy of ${of.kms} kept?`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Record of={of} onClose={onClose} later="Cancel">
        <p style={{ margin: 0 }}>
          With that the reminder goes, for version {of.version.number}: <code>{of.version.key}</code>. When it was said, and by whom, stays.
        </p>
      </Record>
    </Modal>
  );
}

function Record({ of, later, onClose, children }: { readonly of: Which; readonly later: string; readonly onClose: () => void; readonly children: ReactNode }) {
  const [kept, setKept] = useState(false);
  const queries = useQueryClient();
  const recording = useMutation({
    mutationFn: () => read(api.POST('/api/v1/kms/{id}/keys/{number}/backup', { params: { path: { id: of.kms, number: of.version.number } }, body: { key: of.version.key } })),
    onSuccess: async () => {
      tell.done(`The backup of ${of.kms} is recorded`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (kept) recording.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        {children}
        <Checkbox data-autofocus checked={kept} onChange={(event) => setKept(event.currentTarget.checked)} label="The file and its passphrase are where copies of keys are kept" />
        {recording.isError && <Failure error={recording.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {later}
          </Button>
          <Button type="submit" disabled={!kept} loading={recording.isPending}>
            Backup is done
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** Asks for another copy of a key: by whom and why goes into the log. */
export function Take({ of, onClose }: { readonly of: Which; readonly onClose: () => void }) {
  const [reason, setReason] = useState('');
  const [passphrase, setPassphrase] = useState(NO_PASSPHRASE);
  const taking = useMutation({
    mutationFn: () => read(api.POST('/api/v1/kms/{id}/keys/{number}/copy', { params: { path: { id: of.kms, number: of.version.number } }, body: { passphrase: passphrase.first, reason: reason.trim() } })),
    onSuccess: (copy) => {
      saveCopy(of.kms, copy);
      setPassphrase(NO_PASSPHRASE);
    },
  });
  if (taking.data) return <Keep of={of} copy={taking.data} onClose={onClose} />;
  const ready = reason.trim() !== '' && isGood(passphrase);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (ready) taking.mutate();
  };
  return (
    <Modal opened onClose={onClose} title={`Download a copy of ${of.kms}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <Note tone="warn">
            <p>
              Version {of.version.number}, <code>{of.version.key.slice(0, 23)}…</code>. The copy opens all that is encrypted under it, now and later. That you took it, and why, is written into the log.
            </p>
          </Note>
          <TextInput label="Reason" description="For the log" required data-autofocus autoComplete="off" maxLength={250} value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
          <PassphraseTwice value={passphrase} onChange={setPassphrase} />
          {taking.isError && <Failure error={taking.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" disabled={!ready} loading={taking.isPending}>
              Download
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
