import { Button, Skeleton } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck, IconCircleX, IconInfoCircle } from '@tabler/icons-react';
import type { ReactNode } from 'react';

import { exact, hour } from '../format';
import { Problem, Unreachable, explain, isAtFields } from '../problem';
import { reach } from '../reach';
import { useStore } from '../store';
import type { Tone } from './State';
import { useNow } from './Time';

const SIGNS = { good: IconCircleCheck, warn: IconAlertTriangle, bad: IconCircleX, idle: IconInfoCircle } as const;

interface NoteProps {
  readonly tone?: Tone;
  readonly title?: string;
  /** It came about while somebody was looking: read out. */
  readonly alert?: boolean;
  readonly children?: ReactNode;
}

/** Something worth saying beside what is shown. */
export function Note({ tone = 'idle', title, alert = false, children }: NoteProps) {
  const Sign = SIGNS[tone];
  return (
    <div className="sg-note" data-tone={tone} role={alert ? 'alert' : undefined}>
      <Sign size={18} aria-hidden />
      <div>
        {title !== undefined && <strong>{title}</strong>}
        {children !== undefined && (typeof children === 'string' ? <p>{children}</p> : children)}
      </div>
    </div>
  );
}

/** What was tried failed, and why. */
export function Failure({ error, again }: { readonly error: unknown; readonly again?: () => void }) {
  const title =
    error instanceof Problem ? error.title : error instanceof Unreachable ? 'No answer' : 'This cannot be shown';
  return (
    <Note tone="bad" title={title} alert>
      <p>{explain(error)}</p>
      {error instanceof Problem && error.issues.length > 0 && (
        <ul>
          {error.issues.map((issue) => (
            <li key={`${issue.path}${issue.line}:${issue.column}${issue.code}`}>
              {issue.line > 0 && `Line ${issue.line}: `}
              {issue.path !== '' && <code>{issue.path}</code>} {issue.message}
            </li>
          ))}
        </ul>
      )}
      {again && (
        <Button mt={8} size="xs" variant="default" onClick={again}>
          Try again
        </Button>
      )}
    </Note>
  );
}

/** The same under a form, save where the form's fields say it all. */
export function Refused({ error, fields }: { readonly error: unknown; readonly fields: readonly string[] }) {
  return isAtFields(error, fields) ? null : <Failure error={error} />;
}

/** Nothing is there yet, and what to do about it. */
export function Empty({ title, children, action }: { readonly title: string; readonly children?: ReactNode; readonly action?: ReactNode }) {
  return (
    <div className="sg-empty">
      <strong>{title}</strong>
      {children !== undefined && <p>{children}</p>}
      {action}
    </div>
  );
}

/** What is on its way. */
export function Loading({ lines = 6, what }: { readonly lines?: number; readonly what: string }) {
  return (
    <div aria-busy="true" style={{ padding: 14 }}>
      <span className="sg-hidden" role="status">
        Loading {what}
      </span>
      {Array.from({ length: lines }, (_, line) => (
        <Skeleton key={line} height={16} mb={14} width={`${92 - ((line * 17) % 40)}%`} />
      ))}
    </div>
  );
}

/** A question, as far as is told of it where its answer is missing or old. */
export interface Asked {
  readonly error: unknown;
  /** When the answer that stands came, in milliseconds since 1970. */
  readonly dataUpdatedAt: number;
  readonly refetch: () => unknown;
}

/** Whether the last time that it was asked came to nothing; an answer may stand all the same. */
export const hasFailed = <A extends Asked>(of: A | undefined): of is A => of !== undefined && of.error !== null && of.error !== undefined;

/** Whether an answer stands that could not be asked for anew. Of a service that is away the banner says it, for all of the page. */
function useIsKept(of: Asked): boolean {
  const away = useStore(reach).is !== 'well';
  return !away && hasFailed(of) && !(of.error instanceof Unreachable);
}

/** Since when what stands is as it is, and why: a line among others. */
export function KeptLine({ of, className }: { readonly of: Asked; readonly className?: string }) {
  if (!useIsKept(of)) return null;
  return (
    <p className={className}>
      Not refreshed since <Hour at={of.dataUpdatedAt} />: {explain(of.error)}
    </p>
  );
}

/** The same above what stands, and a way to ask again. */
export function Kept({ of }: { readonly of: Asked }) {
  if (!useIsKept(of)) return null;
  return (
    <div className="sg-kept">
      <Note tone="warn" alert>
        <KeptLine of={of} />
        <Button mt={8} size="xs" variant="default" onClick={() => void of.refetch()}>
          Try again
        </Button>
      </Note>
    </div>
  );
}

function Hour({ at }: { readonly at: number }) {
  const now = useNow();
  return (
    <time dateTime={new Date(at).toISOString()} title={exact(at)}>
      {hour(at, now)}
    </time>
  );
}

interface Answered<T> extends Asked {
  readonly data: T | undefined;
  readonly isPending: boolean;
}

/** What was asked for: on its way, there, or refused. What was there stays while it is asked for again, and where that fails, which is said. */
export function Shown<T>({ of, what, lines, children }: { readonly of: Answered<T>; readonly what: string; readonly lines?: number; readonly children: (value: T) => ReactNode }) {
  if (of.data !== undefined) {
    return (
      <>
        <Kept of={of} />
        {children(of.data)}
      </>
    );
  }
  if (of.isPending) return <Loading what={what} lines={lines} />;
  return <Failure error={of.error} again={() => void of.refetch()} />;
}
