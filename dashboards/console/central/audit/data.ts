import { read } from '@frame/api';
import { infiniteQueryOptions } from '@tanstack/react-query';

import { api } from '../api';
import { type AuditSearch, SINCE } from './route';

/** A record as the export has it; its format is at the head of central/src/audit.rs. */
export interface Line {
  readonly sequence: number;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: unknown;
  readonly hash: string;
}

/** What is asked of the audit. */
export interface Question {
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly subject?: string | undefined;
  readonly q?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
}

const MINUTE_MS = 60_000;

/** A moment as an address has it, in the reader's time zone; none where it is no moment. */
export function moment(local: string | undefined): string | undefined {
  const at = local === undefined ? NaN : new Date(local).getTime();
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}

/** What an address asks, at a moment. A span begins on the minute, so that a question is the same one for a while. */
export function questionOf(search: AuditSearch, now: number): Question {
  const { actor, action, subject, q, since, from, to } = search;
  const names = { actor, action, subject, q };
  if (since !== undefined) return { ...names, since: new Date(Math.floor(now / MINUTE_MS) * MINUTE_MS - SINCE[since] * 1_000).toISOString() };
  return { ...names, since: moment(from), until: moment(to) };
}

const page = async (question: Question, before: number | undefined, limit: number, signal?: AbortSignal) => {
  const answer = await read(api.GET('/api/v1/audit', { params: { query: { ...question, before, limit } }, signal }));
  return { records: answer.records as unknown as readonly Line[], next: answer.next };
};

/** Records, newest first. Every change of gateways and policies makes one. */
export const auditQuery = (question: Question) =>
  infiniteQueryOptions({
    queryKey: ['audit', question],
    queryFn: ({ pageParam, signal }) => page(question, pageParam, 200, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    meta: { also: ['gateways', 'policies'] },
  });

/** Every record that is asked for, for an export. */
export async function everyRecord(question: Question): Promise<Line[]> {
  const found: Line[] = [];
  let before: number | undefined;
  do {
    const part = await page(question, before, 1_000);
    found.push(...part.records);
    before = part.next ?? undefined;
  } while (before !== undefined);
  return found;
}
