import { Button, FileInput, Group, Modal, PasswordInput, SegmentedControl, Select, Stack, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { Failure, Note } from '@frame/parts/Note';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api } from '../api';

const SIZES = ['3072', '4096', '8192'] as const;

/** Adds a KMS, or gives one a newer key: from a file, or made in place. */
export function KeyForm({ rotate, onClose }: { readonly rotate?: string; readonly onClose: () => void }) {
  const [id, setId] = useState('');
  const [from, setFrom] = useState('file');
  const [file, setFile] = useState<File | null>(null);
  const [passphrase, setPassphrase] = useState('');
  const [bits, setBits] = useState<string>('4096');
  const queries = useQueryClient();
  const saving = useMutation({
    mutationFn: async () => {
      const pem = from === 'file' ? ((await file?.text()) ?? '') : undefined;
      const secret = passphrase === '' ? undefined : passphrase;
      if (rotate !== undefined) {
        const body = pem === undefined ? { generate: Number(bits) } : { pem, passphrase: secret };
        return read(api.POST('/api/v1/kms/{id}/rotate', { params: { path: { id: rotate } }, body }));
      }
      if (pem === undefined) return read(api.POST('/api/v1/kms/generate', { body: { id: id.trim(), bits: Number(bits) } }));
      return read(api.POST('/api/v1/kms', { body: { id: id.trim(), provider: 'rsa', pem, passphrase: secret } }));
    },
    onSuccess: async (kms) => {
      tell.done(rotate === undefined ? `${kms.id} is added` : `${kms.id} has a newer key`);
      onClose();
      await queries.invalidateQueries();
    },
  });
  const ready = (rotate !== undefined || id.trim() !== '') && (from === 'make' || file !== null);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (ready) saving.mutate();
  };
  return (
    <Modal opened onClose={onClose} title={rotate === undefined ? 'Add a KMS' : `Rotate ${rotate}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          {rotate === undefined ? (
            <TextInput label="KMS ID" description="Written into each object that is encrypted under it" required data-autofocus value={id} onChange={(event) => setId(event.currentTarget.value)} />
          ) : (
            <Note>New objects are encrypted under the newer key. The older ones stay, for what was encrypted under them.</Note>
          )}
          <SegmentedControl
            aria-label="Where the RSA key comes from"
            value={from}
            onChange={setFrom}
            data={[
              { value: 'file', label: 'Upload an RSA key' },
              { value: 'make', label: 'Make one in place' },
            ]}
          />
          {from === 'file' ? (
            <>
              <FileInput label="Private key" description="PEM: PKCS#1, PKCS#8, or encrypted PKCS#8" placeholder="Choose a file" accept=".pem,.key" value={file} onChange={setFile} required />
              <PasswordInput
                label="Passphrase"
                description="Where the file is encrypted"
                autoComplete="off"
                value={passphrase}
                visibilityToggleButtonProps={{ 'aria-label': 'Show the passphrase' }}
                onChange={(event) => setPassphrase(event.currentTarget.value)}
              />
            </>
          ) : (
            <>
              <Select label="Bits" allowDeselect={false} value={bits} data={SIZES} onChange={(value) => setBits(value ?? '4096')} />
              <Note tone="warn">A key that is made here is kept by the gateways alone, sealed in their storage. If the storage or the sealing key is lost, what was encrypted under it is lost.</Note>
            </>
          )}
          {saving.isError && <Failure error={saving.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" disabled={!ready} loading={saving.isPending}>
              {rotate === undefined ? 'Add it' : 'Rotate'}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
