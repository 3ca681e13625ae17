import { Button, Group, Modal, Stack, Switch, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { CopyText } from '@frame/parts/Copy';
import { Failure, Note } from '@frame/parts/Note';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api, type Schemas } from '../api';
import { changed, type Credential, type Grant, identitiesOf, lacking, lacks } from './data';
import { Grants } from './grants';
import { Identities } from './identities';

interface Props {
  /** Absent: a new one. */
  readonly of?: Credential;
  readonly onClose: () => void;
}

/** Makes a credential, or changes what one may do. */
export function CredentialForm({ of, onClose }: Props) {
  const [name, setName] = useState(of?.name ?? '');
  const [admin, setAdmin] = useState(of?.admin ?? false);
  const [grants, setGrants] = useState<readonly Grant[]>(of?.grants ?? [{ buckets: [], actions: ['read', 'list', 'write'] }]);
  const [identities, setIdentities] = useState(identitiesOf(of));
  const [tried, setTried] = useState(false);
  const [made, setMade] = useState<Schemas['MadeCredential'] | null>(null);
  const queries = useQueryClient();
  const saving = useMutation({
    mutationFn: async () => {
      const anew = changed(identities, of);
      const body = { name: name.trim(), admin, grants: [...grants], ...(anew && { identities: anew }) };
      if (of) await read(api.PUT('/api/v1/credentials/{access_key}', { params: { path: { access_key: of.access_key } }, body }));
      else setMade(await read(api.POST('/api/v1/credentials', { body })));
    },
    onSuccess: async () => {
      if (of) {
        tell.done(`${name.trim()} is changed`);
        onClose();
      }
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  const wrong = lacks(grants);
  const open = lacking(identities, of);
  const nameless = name.trim() === '';
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    setTried(true);
    if (!nameless && Object.keys({ ...wrong, ...open }).length === 0) saving.mutate();
  };
  if (made) return <Made of={made} onClose={onClose} />;
  return (
    <Modal opened onClose={onClose} size="lg" title={of ? `Change ${of.name}` : 'New credential'} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack gap="sm">
          <TextInput label="Name" description="Whose it is, or what for" required data-autofocus autoComplete="off" value={name} error={tried && nameless ? 'It needs a name' : undefined} onChange={(event) => setName(event.currentTarget.value)} />
          <Grants grants={grants} wrong={tried ? wrong : {}} onChange={setGrants} />
          <Identities of={of} identities={identities} wrong={tried ? open : {}} onChange={setIdentities} />
          <Switch label="Administrator" description="Beyond its grants. A group keeps at least one credential that is." checked={admin} onChange={(event) => setAdmin(event.currentTarget.checked)} />
          {saving.isError && <Failure error={saving.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={saving.isPending}>
              {of ? 'Save' : 'Make the credential'}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Made({ of, onClose }: { readonly of: Schemas['MadeCredential']; readonly onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title={`Credential ${of.name}`} closeOnClickOutside={false} closeOnEscape={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack gap="sm">
        <Note tone="warn" title="The secret key is shown once">
          Keep it where you keep secrets. If it is lost, remove the credential and make another.
        </Note>
        <div>
          <strong>Access key</strong>
          <CopyText value={of.access_key} what="the access key" />
        </div>
        <div>
          <strong>Secret key</strong>
          <CopyText value={of.secret_key} what="the secret key" />
        </div>
        <div>
          <strong>For a shell</strong>
          <CopyText value={`export AWS_ACCESS_KEY_ID=${of.access_key}\nexport AWS_SECRET_ACCESS_KEY=${of.secret_key}`} what="the lines for a shell" />
        </div>
        <Group justify="flex-end">
          <Button onClick={onClose}>I have kept it</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
