import { api } from '../api';

/** Sends a policy's text under a precondition: nobody's change is written over unseen. */
export const put = (name: string, text: string, condition: { 'If-Match': string } | { 'If-None-Match': string }) =>
  api.PUT('/api/v1/policies/{name}', {
    params: { path: { name } },
    body: text,
    bodySerializer: (body) => body,
    headers: { 'Content-Type': 'application/yaml', ...condition },
  });

/** Deletes a policy as it was read. */
export const remove = (name: string, etag: string) =>
  api.DELETE('/api/v1/policies/{name}', { params: { path: { name }, header: { 'If-Match': etag } } });
