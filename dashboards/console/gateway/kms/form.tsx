import { Button, FileInput, Group, Modal, PasswordInput, SegmentedControl, Select, Stack, Switch, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { Failure, Note } from '@frame/parts/Note';
import { Problem } from '@frame/problem';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api, type Schemas } from '../api';
import { Keep, saveCopy } from './copies';
import type { Kms } from './data';
import { isGood, NO_PASSPHRASE, PassphraseTwice } from './passphrase';

const SIZES = [
  { value: '3072', label: '3,072 bits' },
  { value: '4096', label: '4,096 bits' },
  { value: '8192', label: '8,192 bits; slow to make and to use' },
];

interface Props {
  /** A KMS that gets a newer key; absent: a new one. */
  readonly rotate?: Kms;
  /** The one that new objects are encrypted under now. */
  readonly active: string | undefined;
  readonly onClose: () => void;
}

/** Adds a KMS, or gives one a newer key: from a file, or made in place. */
export function KeyForm({ rotate, active, onClose }: Props) {
  const [id, setId] = useState('');
  const [from, setFrom] = useState('file');
  const [file, setFile] = useState<File | null>(null);
  const [passphrase, setPassphrase] = useState('');
  const [bits, setBits] = useState<string>('4096');
  const [activate, setActivate] = useState(active === undefined);
  const [replace, setReplace] = useState(false);
  const [copying, setCopying] = useState(true);
  const [copyPassphrase, setCopyPassphrase] = useState(NO_PASSPHRASE);
  const [made, setMade] = useState<Schemas['MadeKms'] | null>(null);
  const queries = useQueryClient();
  const saving = useMutation({
    mutationFn: async (): Promise<Kms | Schemas['MadeKms']> => {
      const pem = from === 'file' ? ((await file?.text()) ?? '') : undefined;
      const secret = passphrase === '' ? undefined : passphrase;
      const copyUnder = copying ? copyPassphrase.first : undefined;
      if (rotate !== undefined) {
        const body = pem === undefined ? { generate: Number(bits), copy_passphrase: copyUnder } : { pem, passphrase: secret };
        return read(api.POST('/api/v1/kms/{id}/rotate', { params: { path: { id: rotate.id } }, body }));
      }
      if (pem === undefined) return read(api.POST('/api/v1/kms/generate', { body: { id: id.trim(), bits: Number(bits), activate, copy_passphrase: copyUnder } }));
      return read(api.POST('/api/v1/kms', { body: { id: id.trim(), provider: 'rsa', pem, passphrase: secret, activate, replace_key: replace } }));
    },
    onSuccess: async (kms) => {
      if ('copy' in kms && kms.copy) {
        saveCopy(kms.id, kms.copy);
        setCopyPassphrase(NO_PASSPHRASE);
        setMade(kms);
      } else {
        tell.done(rotate === undefined ? `${kms.id} is added` : `${kms.id} has a newer key`);
        onClose();
      }
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  const ready = (rotate !== undefined || id.trim() !== '') && (from === 'make' ? !copying || isGood(copyPassphrase) : file !== null);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (ready) saving.mutate();
  };
  const newest = made?.keys.find((key) => key.key === made.copy?.key);
  if (made?.copy && newest) return <Keep of={{ kms: made.id, version: newest }} copy={made.copy} onClose={onClose} />;
  // Objects are known under the same ID and another key: the service says so, and takes it if that is meant.
  const other = rotate === undefined && from === 'file' && saving.error instanceof Problem && 'known_objects' in saving.error.more;
  return (
    <Modal opened onClose={onClose} title={rotate === undefined ? 'Add a KMS' : `Rotate ${rotate.id}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          {rotate === undefined ? (
            <TextInput label="KMS ID" description="Written into each object that is encrypted under it" required data-autofocus autoComplete="off" spellCheck={false} value={id} onChange={(event) => setId(event.currentTarget.value)} />
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
                visibilityToggleButtonProps={{ tabIndex: 0, 'aria-label': 'Show the passphrase' }}
                onChange={(event) => setPassphrase(event.currentTarget.value)}
              />
            </>
          ) : (
            <>
              <Select label="Length" allowDeselect={false} value={bits} data={SIZES} onChange={(value) => setBits(value ?? '4096')} />
              <Switch
                label="Download a copy of the key"
                description="As a PEM file, encrypted under a passphrase: it reads what is encrypted under the key when the gateways are lost."
                checked={copying}
                onChange={(event) => setCopying(event.currentTarget.checked)}
              />
              {copying ? (
                <PassphraseTwice value={copyPassphrase} onChange={setCopyPassphrase} />
              ) : (
                <Note tone="warn" title="The key will exist here only">
                  It is kept sealed in the storage. If that, or the sealing key of the gateways, is lost, what was encrypted under it cannot be read by anybody. You are reminded of it until a copy is kept.
                </Note>
              )}
            </>
          )}
          {rotate === undefined && (
            <Switch
              label="Activate it"
              description={active === undefined ? 'No KMS is active, so nothing can be encrypted yet.' : `New objects are encrypted under it, in place of ${active}.`}
              checked={activate}
              onChange={(event) => setActivate(event.currentTarget.checked)}
            />
          )}
          {saving.isError && <Failure error={saving.error} />}
          {other && (
            <Switch
              label="Add it although it is another key"
              description="Objects that were encrypted under the same ID and the former key stay unreadable."
              checked={replace}
              onChange={(event) => setReplace(event.currentTarget.checked)}
            />
          )}
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
