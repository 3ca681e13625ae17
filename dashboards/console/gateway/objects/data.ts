import { read } from '@frame/api';
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';

import { api, type Schemas } from '../api';

/** An object of a page. */
export type One = Schemas['ListedObject'];

/** A line of a listing: what keys further down begin with, or an object. */
export type Entry = { readonly is: 'folder'; readonly prefix: string } | ({ readonly is: 'object' } & One);

/** What is listed. */
export interface Place {
  readonly bucket: string;
  readonly prefix: string;
  /** Without folders. */
  readonly flat: boolean;
}

const PAGE = 200;
const LARGEST_PAGE = 1_000;

async function page({ bucket, prefix, flat }: Place, after: string | undefined, limit: number, signal?: AbortSignal) {
  const query = { prefix: prefix === '' ? undefined : prefix, delimiter: flat ? undefined : '/', after, limit };
  const answer = await read(api.GET('/api/v1/buckets/{name}/objects', { params: { path: { name: bucket }, query }, signal }));
  const folders = answer.prefixes.map((folder): Entry => ({ is: 'folder', prefix: folder }));
  const objects = answer.objects.map((object): Entry => ({ is: 'object', ...object }));
  return { entries: [...folders, ...objects], next: answer.next ?? undefined };
}

/** A folder of a bucket, page by page. Nothing tells of a change in it, so it is asked for anew by hand and after one's own. */
export const listQuery = (place: Place) =>
  infiniteQueryOptions({
    queryKey: ['objects', place],
    queryFn: ({ pageParam, signal }) => page(place, pageParam, PAGE, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next,
  });

/** All of it, for a file. */
export async function everything(place: Place): Promise<Entry[]> {
  const found: Entry[] = [];
  let after: string | undefined;
  do {
    const part = await page(place, after, LARGEST_PAGE);
    found.push(...part.entries);
    after = part.next;
  } while (after !== undefined);
  return found;
}

/** What an object is: encrypted or not, by which KMS, why. */
export const statusQuery = (bucket: string, key: string) =>
  queryOptions({
    queryKey: ['objects', 'status', bucket, key],
    queryFn: ({ signal }) => read(api.GET('/api/v1/buckets/{name}/object/status', { params: { path: { name: bucket }, query: { key } }, signal })),
  });

/** Where an object is for the browser. The key stands in the query, since browsers take `..` out of a path. */
export const addressOf = (bucket: string, key: string): string => `/api/v1/buckets/${encodeURIComponent(bucket)}/object?${new URLSearchParams({ key }).toString()}`;

/**
 * Gives an object to the browser's own downloads, which put it on the disk as it comes. That it can be read is found
 * out before, by its first byte: a download that is refused would tell nobody why.
 */
export async function download(bucket: string, key: string, size: number | null | undefined): Promise<void> {
  // An empty object has no first byte.
  if (size !== 0) {
    await read(
      api.GET('/api/v1/buckets/{name}/object', { params: { path: { name: bucket }, query: { key } }, headers: { Range: 'bytes=0-0' }, parseAs: 'blob' }),
    );
  }
  const link = document.createElement('a');
  link.href = addressOf(bucket, key);
  link.download = nameOf(key);
  link.click();
}

/** The last part of a key, which a folder's mark has none of. */
export const nameOf = (key: string): string => key.split('/').findLast((part) => part !== '') ?? key;
