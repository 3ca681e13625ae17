import { read } from '@frame/api';
import { Confirm } from '@frame/parts/Confirm';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { api } from '../api';
import { nameOf } from './data';

interface Props {
  readonly bucket: string;
  /** The whole key. */
  readonly of: string;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

/** Asks before an object is deleted. */
export function Remove({ bucket, of: key, onDone, onClose }: Props) {
  const queries = useQueryClient();
  const removing = useMutation({
    mutationFn: () => read(api.DELETE('/api/v1/buckets/{name}/object', { params: { path: { name: bucket }, query: { key } } })),
    onSuccess: async () => {
      tell.done(`${nameOf(key)} is deleted`);
      queries.removeQueries({ queryKey: ['objects', 'status', bucket, key] });
      onDone();
      await queries.invalidateQueries({ queryKey: ['objects'] });
    },
  });
  const name = nameOf(key);
  return (
    <Confirm
      title="Delete this object?"
      impact={
        <>
          <code>{key}</code> of {bucket} cannot be read by any client afterwards. Where the bucket keeps versions, the older ones stay in the storage; otherwise it cannot be brought back.
        </>
      }
      // What begins or ends with a space cannot be told from what was typed.
      word={name.trim() === name ? name : 'delete'}
      verb="Delete"
      danger
      busy={removing.isPending}
      error={removing.error}
      onConfirm={() => removing.mutate()}
      onClose={onClose}
    />
  );
}
