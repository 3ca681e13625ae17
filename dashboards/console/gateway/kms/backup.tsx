import { Button, Checkbox, Group, Modal, Stack } from '@mantine/core';
import { save } from '@frame/csv';
import { Note } from '@frame/parts/Note';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { infoQuery } from '../settings/data';
import type { Kms } from './data';

/** What has to be kept for a key that was made in place, in words to be filed with the backup. */
function record(kms: Kms, bucket: string, group: string): string {
  const key = kms.keys.find((one) => one.active);
  return [
    `KMS ${kms.id}, key version ${key?.number ?? 0}`,
    `Fingerprint: ${key?.key ?? 'not known'}`,
    `Made: ${key?.added ?? 'not known'}, ${key?.bits ?? 0} bits`,
    `Group of gateways: ${group}`,
    '',
    'The private key is kept sealed by the gateways alone. To have it again after a loss, both are needed:',
    `1. the system bucket ${bucket} of the storage, as it was at or after the time above;`,
    '2. the sealing key of the gateways.',
    'Without either of them, what was encrypted under this key cannot be read by anybody.',
    '',
  ].join('\n');
}

/** After a key was made in place: what to back up, before anything depends on it. */
export function Backup({ of, onClose }: { readonly of: Kms; readonly onClose: () => void }) {
  const info = useQuery(infoQuery());
  const [storage, setStorage] = useState(false);
  const [sealing, setSealing] = useState(false);
  const bucket = info.data?.system_bucket ?? 'of the group';
  return (
    <Modal opened onClose={onClose} title={`Back up ${of.id} now`} closeOnClickOutside={false} closeOnEscape={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack gap="sm">
        <Note tone="warn" title="The key exists here only">
          If it is lost, what was encrypted under it cannot be read by anybody.
        </Note>
        <p style={{ margin: 0 }}>It is kept sealed in the storage. To have it again, both of these are needed:</p>
        <Checkbox
          checked={storage}
          onChange={(event) => setStorage(event.currentTarget.checked)}
          label={
            <>
              The system bucket <code>{bucket}</code> is in the backup of the storage
            </>
          }
        />
        <Checkbox checked={sealing} onChange={(event) => setSealing(event.currentTarget.checked)} label="The sealing key of the gateways is kept elsewhere, too" />
        <Group>
          <Button size="xs" variant="default" onClick={() => save(`sealgate-kms-${of.id}.txt`, record(of, bucket, info.data?.group ?? 'not known'), 'text/plain')}>
            Save a record for the backup
          </Button>
        </Group>
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            Later
          </Button>
          <Button disabled={!storage || !sealing} onClick={onClose}>
            It is backed up
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
