import { Button, Group, Modal, Stack, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { AskFirst } from '@frame/parts/Confirm';
import type { Column } from '@frame/parts/DataTable';
import { Failure } from '@frame/parts/Note';
import { Panel } from '@frame/parts/Page';
import { Small } from '@frame/parts/Small';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api } from '../api';
import type { FormerPlace } from './data';

const place = (id: string, head: string, of: (row: FormerPlace) => string): Column<FormerPlace> => ({ id, head, value: of, cell: (row) => <code>{of(row)}</code> });

const save = (places: readonly FormerPlace[]) => read(api.PUT('/api/v1/settings/former-places', { body: [...places] }));

/** Where encrypted objects came from that were copied past the gateways: each is sealed to its place. */
export function FormerPlaces({ places }: { readonly places: readonly FormerPlace[] }) {
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<FormerPlace | null>(null);
  const columns = [
    place('now', 'Where objects are', (row) => `${row.bucket}/${row.prefix}`),
    place('former', 'Where they were encrypted', (row) => `${row.former_bucket}/${row.former_prefix}`),
    {
      id: 'actions',
      head: 'Change',
      cell: (row: FormerPlace) => (
        <Button size="compact-xs" variant="default" c="var(--sg-bad)" onClick={() => setRemoving(row)}>
          Remove
          <span className="sg-hidden">
            {' '}
            {row.bucket}/{row.prefix}
          </span>
        </Button>
      ),
    },
  ];
  return (
    <Panel
      title="Former places"
      flush
      aside={
        <Button size="xs" variant="default" onClick={() => setAdding(true)}>
          Add a former place
        </Button>
      }
    >
      <div className="sg-body" style={{ color: 'var(--sg-quiet)', paddingBottom: 0 }}>
        An encrypted object is sealed to its bucket and key, so that nobody can pass one off for another. One that was copied past the gateways, by replication or from a restored copy, can be read only if its former place is told here.
      </div>
      <Small what="former places" columns={columns} rows={places} rowKey={(row) => JSON.stringify(row)} none="None: every object lies where it was encrypted." />
      {adding && <Add places={places} onClose={() => setAdding(false)} />}
      {removing && <Remove place={removing} places={places} onClose={() => setRemoving(null)} />}
    </Panel>
  );
}

function Add({ places, onClose }: { readonly places: readonly FormerPlace[]; readonly onClose: () => void }) {
  const [place, setPlace] = useState<FormerPlace>({ bucket: '', prefix: '', former_bucket: '', former_prefix: '' });
  const queries = useQueryClient();
  const saving = useMutation({
    mutationFn: () => save([...places, place]),
    onSuccess: async () => {
      tell.done('The former place is added');
      onClose();
      await queries.invalidateQueries({ queryKey: ['group'] });
    },
  });
  const ready = place.bucket.trim() !== '' && place.former_bucket.trim() !== '';
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (ready) saving.mutate();
  };
  const field = (name: keyof FormerPlace) => ({
    value: place[name],
    autoComplete: 'off',
    spellCheck: false,
    onChange: (event: { currentTarget: { value: string } }) => setPlace({ ...place, [name]: event.currentTarget.value }),
  });
  return (
    <Modal opened onClose={onClose} title="Add a former place" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <TextInput label="Bucket where the objects are" description="As the storage calls it" required data-autofocus {...field('bucket')} />
          <TextInput label="Keys begin with" description="Empty: the whole bucket" {...field('prefix')} />
          <TextInput label="Bucket where they were encrypted" description="As the storage called it" required {...field('former_bucket')} />
          <TextInput label="Keys began with" description="What stood there in place of the prefix above" {...field('former_prefix')} />
          {saving.isError && <Failure error={saving.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" disabled={!ready} loading={saving.isPending}>
              Add it
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Remove({ place, places, onClose }: { readonly place: FormerPlace; readonly places: readonly FormerPlace[]; readonly onClose: () => void }) {
  return (
    <AskFirst
      title="Remove the former place?"
      impact={`Objects below ${place.bucket}/${place.prefix} that were encrypted in ${place.former_bucket} cannot be read any more, until it is added again. Nothing of them is changed.`}
      word={place.bucket}
      verb="Remove"
      danger
      act={() => save(places.filter((one) => JSON.stringify(one) !== JSON.stringify(place)))}
      done="The former place is removed"
      stale={['group']}
      onClose={onClose}
    />
  );
}
