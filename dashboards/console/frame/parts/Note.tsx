import { Button, Skeleton } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck, IconCircleX, IconInfoCircle } from '@tabler/icons-react';
import type { ReactNode } from 'react';

import { Problem, Unreachable, explain, isAtFields } from '../problem';
import type { Tone } from './State';

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

interface Asked<T> {
  readonly data: T | undefined;
  readonly error: unknown;
  readonly isPending: boolean;
  readonly refetch: () => unknown;
}

/** What was asked for: on its way, there, or refused. What was there stays while it is asked for again. */
export function Shown<T>({ of, what, lines, children }: { readonly of: Asked<T>; readonly what: string; readonly lines?: number; readonly children: (value: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.isPending) return <Loading what={what} lines={lines} />;
  return <Failure error={of.error} again={() => void of.refetch()} />;
}
