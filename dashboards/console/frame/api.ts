import createClient from 'openapi-fetch';

import type { Problem } from './problem';
import { Unreachable, problemOf } from './problem';
import { answered, probe, silent } from './reach';
import { again, inside } from './session';

/** Set on each request: a page of another site cannot send it without asking first. */
export const OWN_HEADER = 'X-Sealgate-Request';

const SESSION = '/api/v1/session';

/** Methods that change nothing. */
const SAFE = new Set(['GET', 'HEAD']);

/** How long the answer to a question may take to begin. What changes something is waited for: it goes on when the service does. */
const READ_MS = 10_000;

/** Statuses of whatever stands between here and the service. */
const BETWEEN = new Set([502, 504]);

/**
 * Sends a request; one that finds the session over waits for its person's log-in and is sent again, with what it carried.
 * `reads`: it changes nothing at the service, though its method may say that it does.
 */
export async function send(request: Request, reads = SAFE.has(request.method)): Promise<Response> {
  const kept = request.clone();
  const asker = inside();
  const response = await once(request, reads);
  if (response.status !== 401 || new URL(request.url).pathname === SESSION) return response;
  await again(asker, !reads);
  return send(kept, reads);
}

async function once(request: Request, reads: boolean): Promise<Response> {
  request.headers.set(OWN_HEADER, '1');
  const patience = new AbortController();
  const timer = reads ? window.setTimeout(() => patience.abort(), READ_MS) : undefined;
  const attempt = () => fetch(request, { signal: AbortSignal.any([request.signal, patience.signal]) });
  return judged(attempt, request.signal, reads).finally(() => window.clearTimeout(timer));
}

/** What an attempt brought; where the service cannot be reached or cannot serve, the whole page is told. */
export async function judged(attempt: () => Promise<Response>, signal: AbortSignal, reads: boolean): Promise<Response> {
  let response: Response;
  try {
    response = await attempt();
  } catch (error) {
    if (signal.aborted) throw error;
    silent();
    throw new Unreachable(reads);
  }
  if (BETWEEN.has(response.status) || (response.status === 503 && !isProblem(response))) {
    silent();
    throw new Unreachable(reads);
  }
  if (response.status === 503) {
    // It may be about this one thing, such as an object whose KMS is gone: asked, the service says whether it is well.
    void probe();
    throw await refusal(response);
  }
  answered();
  return response;
}

const isProblem = (response: Response): boolean =>
  response.headers.get('content-type')?.startsWith('application/problem+json') ?? false;

/** The problem that an answer carries. */
export async function refusal(response: Response): Promise<Problem> {
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  return problemOf(response.status, body);
}

/** The typed client of an application's interface. `questions`: paths to which a POST only asks something, since its question is a text. */
export function client<Paths extends object>(questions: readonly (keyof Paths & string)[] = []) {
  const asks = new Set<string>(questions);
  return createClient<Paths>({
    baseUrl: window.location.origin,
    fetch: (request) => send(request, SAFE.has(request.method) || (request.method === 'POST' && asks.has(new URL(request.url).pathname))),
    // Repeated, as the services read lists: `gateway=a&gateway=b`.
    querySerializer: { array: { style: 'form', explode: true } },
  });
}

interface Answer {
  readonly data?: unknown;
  readonly error?: unknown;
  readonly response: Response;
}

/** What an answer carries when it is no refusal. */
type Carried<A extends Answer> = Exclude<A['data'], undefined>;

/** What was asked for, or the refusal thrown. */
export async function read<A extends Answer>(answer: Promise<A>): Promise<Carried<A>> {
  const { data, error, response } = await answer;
  if (!response.ok) throw problemOf(response.status, error);
  // Answers without a body (204) have no data, and their type says so.
  return data as Carried<A>;
}

/** The same with the answer's ETag, which an edit sends back. */
export async function readTagged<A extends Answer>(answer: Promise<A>): Promise<{ readonly value: Carried<A>; readonly etag: string }> {
  const { response } = await answer;
  return { value: await read(answer), etag: response.headers.get('etag') ?? '' };
}
