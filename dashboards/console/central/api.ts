import { client, read } from '@frame/api';
import { Problem } from '@frame/problem';
import type { Who } from '@frame/session';
import type { components, paths } from '@generated/central';

/** Central's interface, as its document describes it. */
export const api = client<paths>(['/api/v1/policy-set/check', '/api/v1/policy-set/explain', '/api/v1/policy-set/explain-draft']);

/** What the interface speaks of, by the names of its document. */
export type Schemas = components['schemas'];

const who = (answer: Schemas['Who']): Who => ({ name: answer.name, role: answer.role, permissions: answer.permissions });

/** Who is logged in; null where nobody is. */
export async function whoIsIn(): Promise<Who | null> {
  try {
    return who(await read(api.GET('/api/v1/session')));
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return null;
    throw error;
  }
}

/** Begins a session; the cookie is the browser's, scripts never see it. */
export const enter = async (name: string, secret: string): Promise<Who> =>
  who(await read(api.POST('/api/v1/session', { body: { name, password: secret } })));

/** Ends it. */
export async function leave(): Promise<void> {
  await read(api.DELETE('/api/v1/session'));
}
