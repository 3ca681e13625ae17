import { refusal, send } from '@frame/api';
import type { Who } from '@frame/session';

const SESSION = '/api/v1/session';

/** Whoever has a token of the gateway may do everything there: it has no roles. */
const PERMISSIONS = ['administer'] as const;

const nameOf = (body: unknown): string =>
  typeof body === 'object' && body !== null && 'name' in body && typeof body.name === 'string' ? body.name : 'token';

const request = (method: string, body?: unknown): Promise<Response> =>
  send(
    new Request(new URL(SESSION, window.location.origin), {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    }),
  );

async function whoOf(response: Response): Promise<Who> {
  if (!response.ok) throw await refusal(response);
  const body: unknown = await response.json();
  return { name: nameOf(body), role: 'administrator', permissions: PERMISSIONS };
}

/** Who is logged in; null where nobody is. */
export async function whoIsIn(): Promise<Who | null> {
  const response = await request('GET');
  return response.status === 401 ? null : whoOf(response);
}

/** Begins a session with an API token; the cookie is the browser's, and the token is not kept. */
export const enter = async (_name: string, secret: string): Promise<Who> => whoOf(await request('POST', { token: secret }));

/** Ends it. */
export async function leave(): Promise<void> {
  const response = await request('DELETE');
  if (!response.ok) throw await refusal(response);
}
