import { IconAlertTriangleFilled, IconCircleCheckFilled, IconCircleDashed, IconCircleXFilled } from '@tabler/icons-react';
import type { ReactNode } from 'react';

/** How good something is. */
export type Tone = 'good' | 'warn' | 'bad' | 'idle';

const SHAPES = {
  good: IconCircleCheckFilled,
  warn: IconAlertTriangleFilled,
  bad: IconCircleXFilled,
  idle: IconCircleDashed,
} as const;

/** A state: shape, colour and word say the same. */
export function State({ tone, children }: { readonly tone: Tone; readonly children: ReactNode }) {
  const Shape = SHAPES[tone];
  return (
    <span className="sg-state" data-tone={tone}>
      <Shape size={14} aria-hidden />
      {children}
    </span>
  );
}

/** A word in a frame. */
export function Tag({ tone, children }: { readonly tone?: Tone | 'accent'; readonly children: ReactNode }) {
  return (
    <span className="sg-tag" data-tone={tone}>
      {children}
    </span>
  );
}

/** Labels of a gateway, `key=value`. */
export function Labels({ of }: { readonly of: Readonly<Record<string, string>> }) {
  const all = Object.entries(of);
  if (all.length === 0) return <span style={{ color: 'var(--sg-quiet)' }}>none</span>;
  return (
    <span className="sg-tags">
      {all.map(([key, value]) => (
        <Tag key={key}>
          {key}={value}
        </Tag>
      ))}
    </span>
  );
}
