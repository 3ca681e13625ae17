import { Button, Group, Skeleton, Stack } from '@mantine/core';
import { read } from '@frame/api';
import { explain, Problem } from '@frame/problem';
import { Failure, Note } from '@frame/parts/Note';
import { reach } from '@frame/reach';
import { useStore } from '@frame/store';
import { useQuery } from '@tanstack/react-query';
import { lazy, type ReactNode, Suspense } from 'react';

import { api } from '../api';
import { Explain } from './explain';
import { type Checked, useVerdict, type Verdict } from './verdict';

const Editor = lazy(async () => ({ default: (await import('@frame/editor/Editor')).Editor }));

/** What a new policy begins as. It counts before it acts, so that nothing is refused by surprise. */
export const TEMPLATE = `apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata:
  name: my-policy
  description: What it is for
spec:
  mode: audit        # enforce | audit: count only | disabled
  priority: 100
  gateways: {}       # by label: { region: [eu-1, eu-2] }
  buckets: ["*"]
  when: >-
    object.tags["classification"] in ["pii", "secret"]
  effect: encrypt    # encrypt | deny
`;

/** What the service says of a text: mistakes, or advice where there are none. */
export async function check(text: string): Promise<readonly Checked[]> {
  try {
    const { advice } = await read(
      api.POST('/api/v1/policy-set/check', { body: text, bodySerializer: (body) => body, headers: { 'Content-Type': 'application/yaml' } }),
    );
    return advice.map((issue) => ({ ...issue, severity: 'warning' }));
  } catch (error) {
    // A refusal that names nothing wrong is none of the text.
    if (error instanceof Problem && error.status === 422 && error.issues.length > 0) return error.issues.map((issue) => ({ ...issue, severity: 'error' }));
    throw error;
  }
}

interface Props {
  readonly text: string;
  readonly onChange: (text: string) => void;
  readonly readOnly: boolean;
  /** What can be done with the text. */
  readonly actions: ReactNode;
  /** Why the last try to save came to nothing. */
  readonly error: unknown;
}

/** The editor with what is wrong under it, and beside it how an object would fare. */
export function PolicyEditor({ text, onChange, readOnly, actions, error }: Props) {
  const [verdict, checked] = useVerdict(text, check);
  const away = useStore(reach).is !== 'well';
  const schema = useQuery({
    queryKey: ['policies', 'schema'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/policy-set/schema', { signal })),
    staleTime: Infinity,
  });
  return (
    <div className="sg-split sg-policy">
      <Stack gap="sm">
        <Suspense fallback={<Skeleton height={320} />}>
          <Editor
            label="Text of the policy"
            value={text}
            onChange={onChange}
            readOnly={readOnly}
            schema={schema.data}
            check={checked}
            again={!away}
          />
        </Suspense>
        <Said of={verdict} />
        {error !== null && error !== undefined && <Failure error={error} />}
        <Group gap="xs">{actions}</Group>
        {!readOnly && <p className="sg-hint">In the text, Tab indents. Escape, then Tab leaves it. Ctrl-Space offers what fits.</p>}
      </Stack>
      <Explain draft={readOnly ? undefined : text} />
    </div>
  );
}

/** What the check said, below the text too: for those who do not see the marks. */
function Said({ of }: { readonly of: Verdict | null }) {
  if (of === null) return null;
  if ('found' in of) return <Issues of={of.found} />;
  return (
    <div role="status">
      <Note tone="warn">{`The text could not be checked: ${explain(of.failed)}`}</Note>
    </div>
  );
}

function Issues({ of }: { readonly of: readonly Checked[] }) {
  const wrong = of.filter((issue) => issue.severity === 'error');
  if (of.length === 0) {
    return (
      <div role="status">
        <Note tone="good">The text is a valid policy.</Note>
      </div>
    );
  }
  return (
    <div role="status">
      <Note tone={wrong.length > 0 ? 'bad' : 'warn'} title={wrong.length > 0 ? 'It cannot be published like this' : 'Valid, and worth a second look'}>
        <ul style={{ margin: '4px 0 0', paddingLeft: 18 }}>
          {of.map((issue) => (
            <li key={`${issue.line}:${issue.column}${issue.code}`}>
              Line {issue.line}, column {issue.column}: {issue.message} <code>{issue.code}</code>
            </li>
          ))}
        </ul>
      </Note>
    </div>
  );
}

/** A button that publishes, shut while there is nothing to publish. */
export function Publish({ busy, dirty, verb, onClick }: { readonly busy: boolean; readonly dirty: boolean; readonly verb: string; readonly onClick: () => void }) {
  return (
    <Button onClick={onClick} loading={busy} disabled={!dirty}>
      {verb}
    </Button>
  );
}
