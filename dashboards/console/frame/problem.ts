/** One thing that is wrong in what was sent, with its place. */
export interface Issue {
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

/** A refusal of the service (RFC 9457). */
export class Problem extends Error {
  override readonly name = 'Problem';

  constructor(
    readonly status: number,
    /** Stable word, for programs. */
    readonly code: string,
    /** The kind of problem, in words. */
    readonly title: string,
    /** What happened and what to do. */
    readonly detail: string,
    readonly issues: readonly Issue[],
    /** Everything else that the answer said. */
    readonly more: Readonly<Record<string, unknown>>,
  ) {
    super(detail);
  }

  /** What a field is told: the first issue whose path ends with its name. */
  at(field: string): string | undefined {
    return this.issues.find((issue) => issue.path === field || issue.path.endsWith(`.${field}`))?.message;
  }
}

/** The service did not answer at all, or something between here and there answered for it. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';

  constructor(reads = true) {
    super(
      reads
        ? 'The service does not answer. It is tried again by itself.'
        : 'The service does not answer, so it is not known whether this was carried out. What you typed is still here: try again when it is back.',
    );
  }
}

/** What was being done waits for a log-in that the person gave up. */
export class LoggedOut extends Error {
  override readonly name = 'LoggedOut';

  constructor() {
    super('The session is over.');
  }
}

const text = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise);
const count = (value: unknown): number => (typeof value === 'number' ? value : 0);

function issues(value: unknown): Issue[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null).map((item) => ({
    line: count(item['line']),
    column: count(item['column']),
    path: text(item['path'], ''),
    code: text(item['code'], ''),
    message: text(item['message'], ''),
  }));
}

/** The kind of problem in words. One without a type of its own is called by its HTTP status (RFC 9457, 4.2.1), which says nothing to a person. */
function titled(status: number, fields: Record<string, unknown>): string {
  if (fields['type'] !== undefined && fields['type'] !== 'about:blank') return text(fields['title'], 'The service refused');
  return status >= 500 ? 'This did not work' : 'This was refused';
}

/** A refusal as it came; a body that is no problem document becomes one by its status. */
export function problemOf(status: number, body: unknown): Problem {
  const fields: Record<string, unknown> = typeof body === 'object' && body !== null ? { ...body } : {};
  const title = titled(status, fields);
  return new Problem(
    status,
    text(fields['code'], 'unknown'),
    title,
    text(fields['detail'], `${title} (status ${status}).`),
    issues(fields['errors']),
    fields,
  );
}

/** What each of the named fields is told about a refusal. */
export function atFields(error: unknown, fields: readonly string[]): Record<string, string> {
  if (!(error instanceof Problem)) return {};
  return Object.fromEntries(fields.flatMap((field) => {
    const message = error.at(field);
    return message === undefined ? [] : [[field, message]];
  }));
}

/** Whether every word of a refusal stands at a field already. */
export const isAtFields = (error: unknown, fields: readonly string[]): boolean =>
  error instanceof Problem && error.issues.length > 0 && error.issues.every((issue) => fields.some((field) => issue.path === field || issue.path.endsWith(`.${field}`)));

/** What a person reads about a failure. */
export function explain(error: unknown): string {
  if (error instanceof Problem || error instanceof Unreachable || error instanceof LoggedOut) return error.message;
  return 'The console failed to show this. Load the page again; if it stays, the log of the service may say more.';
}
