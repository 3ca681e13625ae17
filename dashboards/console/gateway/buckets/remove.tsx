import { read } from '@frame/api';
import { AskFirst } from '@frame/parts/Confirm';

import { api } from '../api';
import type { Bucket } from './data';

/** Asks before a bucket is removed; its storage refuses where anything lies in it. */
export function RemoveBucket({ bucket, onClose }: { readonly bucket: Bucket; readonly onClose: () => void }) {
  return (
    <AskFirst
      title={`Remove ${bucket.bucket}?`}
      impact="Only an empty bucket can be removed: where an object, an older version or an unfinished upload lies in it, the storage refuses and nothing changes. Its switch and settings go with it, and clients that use the name are refused. Another account may take the name."
      word={bucket.bucket}
      verb="Remove"
      danger
      act={() => read(api.DELETE('/api/v1/buckets/{name}', { params: { path: { name: bucket.bucket }, query: { confirm: bucket.bucket } } }))}
      done={`${bucket.bucket} is removed`}
      stale={['group']}
      onClose={onClose}
    />
  );
}
