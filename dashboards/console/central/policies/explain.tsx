import { Button, Group, NumberInput, SegmentedControl, Select, Stack, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { read } from '@frame/api';
import { Note, Refused } from '@frame/parts/Note';
import { Panel } from '@frame/parts/Page';
import { State, Tag } from '@frame/parts/State';
import { atFields } from '@frame/problem';
import { keepPreviousData, queryOptions, useQuery } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api } from '../api';
import { namesQuery } from '../gateways/data';
import { type LabelRow, LabelFields, labelsOf } from '../gateways/fields';
import type { Explanation } from './data';
import { nameIn } from './name';

const VERDICTS = {
  encrypt: { tone: 'good', text: 'It is stored encrypted' },
  deny: { tone: 'bad', text: 'The request is refused' },
  pass: { tone: 'idle', text: 'No policy decides: toggle, client and floor do' },
} as const;

/** An object on its way, as the service asks for it. */
interface Request {
  readonly bucket: string;
  readonly object: {
    readonly key: string;
    readonly size: number | null;
    readonly contentType: string;
    readonly tags: Readonly<Record<string, string>>;
  };
  readonly request: { readonly principal: string };
  readonly gateway: { readonly labels: Readonly<Record<string, string>> };
}

/** How an object would fare under the published policies; with a draft, as if it were published now. */
const explainQuery = (request: Request | null, draft: string | undefined) =>
  queryOptions({
    queryKey: ['policies', 'explain', request, draft ?? null],
    queryFn: async ({ signal }) => {
      const answer =
        draft === undefined
          ? await read(api.POST('/api/v1/policy-set/explain', { body: request as never, signal }))
          : await read(api.POST('/api/v1/policy-set/explain-draft', { body: { draft, request: request as never }, signal }));
      // The document leaves it open; crates/policy/src/explain.rs says what is in it.
      return answer as unknown as Explanation;
    },
    enabled: request !== null,
  });

/** Fields of the form, as refusals name them. */
const FIELDS = ['bucket', 'object.key', 'object.size', 'object.contentType', 'request.principal', 'object.tags'] as const;

/** How long after the last key the text is explained anew. */
const AFTER_MS = 500;

interface Props {
  /** The text beside it, as it is typed; absent: only what is published is explained. */
  readonly draft: string | undefined;
}

/** How an object would fare, and why, policy by policy: under the text that is being written, before it is published. */
export function Explain({ draft }: Props) {
  const [under, setUnder] = useState<'draft' | 'published'>('draft');
  const [bucket, setBucket] = useState('');
  const [key, setKey] = useState('');
  const [size, setSize] = useState<number | string>('');
  const [type, setType] = useState('');
  const [principal, setPrincipal] = useState('');
  const [tags, setTags] = useState<readonly LabelRow[]>([]);
  const [gateway, setGateway] = useState<string | null>(null);
  const [find, setFind] = useState('');
  const [found] = useDebouncedValue(find.trim().toLowerCase(), 200);
  const gateways = useQuery({ ...namesQuery(found === gateway ? '' : found, 50), placeholderData: keepPreviousData });
  const [known, setKnown] = useState<Readonly<Record<string, string>>>({});
  const [request, setRequest] = useState<Request | null>(null);
  const [settled] = useDebouncedValue(draft, AFTER_MS);
  const text = under === 'draft' ? settled : undefined;
  const asked = useQuery({ ...explainQuery(request, text), placeholderData: keepPreviousData, retry: false });
  const wrong = atFields(asked.error, FIELDS);
  const names = [...new Set([...(gateway === null ? [] : [gateway]), ...(gateways.data?.gateways.map((one) => one.name) ?? [])])];

  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const next: Request = {
      bucket: bucket.trim(),
      object: { key, size: size === '' ? null : Number(size), contentType: type.trim(), tags: labelsOf(tags) },
      request: { principal: principal.trim() },
      gateway: { labels: known },
    };
    setRequest(next);
    if (JSON.stringify(next) === JSON.stringify(request)) void asked.refetch();
  };
  return (
    <Panel title="Explain">
      <form onSubmit={submit}>
        <Stack gap="xs">
          {draft !== undefined && (
            <SegmentedControl
              aria-label="Explained under"
              fullWidth
              size="xs"
              value={under}
              onChange={(value) => setUnder(value === 'published' ? 'published' : 'draft')}
              data={[
                { value: 'draft', label: 'With this text' },
                { value: 'published', label: 'As published' },
              ]}
            />
          )}
          <p style={{ margin: 0, color: 'var(--sg-quiet)' }}>
            {draft !== undefined && under === 'draft'
              ? 'How an object that a client writes would fare if this text were published now, and why. Nothing is stored.'
              : 'How an object that a client writes fares under the published policies, and why.'}
          </p>
          <Group gap="xs" grow align="flex-start">
            <TextInput label="Bucket" required placeholder="finance" error={wrong['bucket']} value={bucket} onChange={(event) => setBucket(event.currentTarget.value)} />
            <TextInput label="Key" required placeholder="payroll/june.csv" error={wrong['object.key']} value={key} onChange={(event) => setKey(event.currentTarget.value)} />
          </Group>
          <Group gap="xs" grow align="flex-start">
            <NumberInput label="Size in bytes" description="Empty: not known" min={0} allowDecimal={false} thousandSeparator="," error={wrong['object.size']} value={size} onChange={setSize} />
            <TextInput label="Content type" description="As the client sends it" placeholder="text/csv" error={wrong['object.contentType']} value={type} onChange={(event) => setType(event.currentTarget.value)} />
          </Group>
          <Group gap="xs" grow align="flex-start">
            <TextInput label="Access key" description="Of the client" error={wrong['request.principal']} value={principal} onChange={(event) => setPrincipal(event.currentTarget.value)} />
            <Select
              label="Gateway"
              description="Policies select by its labels"
              placeholder="no labels"
              clearable
              clearButtonProps={{ 'aria-label': 'No gateway' }}
              searchable
              searchValue={find}
              onSearchChange={setFind}
              filter={({ options }) => options}
              nothingFoundMessage="No gateway is called that"
              value={gateway}
              data={names}
              onChange={(name) => {
                setGateway(name);
                setKnown(gateways.data?.gateways.find((one) => one.name === name)?.labels ?? {});
              }}
            />
          </Group>
          <div>
            <p style={{ margin: '0 0 4px', fontWeight: 500 }}>Tags of the object</p>
            <LabelFields rows={tags} onChange={setTags} what="tag" error={wrong['object.tags']} />
          </div>
          <Group>
            <Button type="submit" variant="default" loading={asked.isFetching && asked.isPlaceholderData}>
              Explain
            </Button>
          </Group>
        </Stack>
      </form>
      <div aria-live="polite" style={{ marginTop: 12 }}>
        {asked.isError ? (
          <Refused error={asked.error} fields={FIELDS} />
        ) : (
          asked.data && request !== null && <Answer of={asked.data} draft={text === undefined ? undefined : nameIn(text)} isDraft={text !== undefined} />
        )}
      </div>
    </Panel>
  );
}

function Answer({ of, draft, isDraft }: { readonly of: Explanation; readonly draft: string | undefined; readonly isDraft: boolean }) {
  const verdict = VERDICTS[of.decision.verdict];
  const trial = of.policies.filter((policy) => policy.applies && policy.mode === 'audit');
  return (
    <Stack gap="xs">
      <Note tone={verdict.tone} title={verdict.text}>
        {isDraft ? 'If this text were published on top of the newest revision.' : `By revision ${of.revision.number}, the newest.`}
      </Note>
      {trial.length > 0 && (
        <Note tone="warn">{`Counted only, in audit mode: ${trial.map((policy) => `${policy.name} would ${policy.effect} it`).join(', ')}.`}</Note>
      )}
      {of.policies.length === 0 && <span>There is no policy.</span>}
      <ul className="sg-reasons">
        {of.policies.map((policy) => (
          <li key={policy.uid}>
            <State tone={!policy.applies ? 'idle' : policy.mode === 'audit' ? 'warn' : policy.effect === 'deny' ? 'bad' : 'good'}>{policy.name}</State> {isDraft && policy.name === draft && <Tag tone="warn">this text</Tag>}{' '}
            {policy.recorded && <Tag tone="accent">recorded</Tag>} <Tag>{policy.mode}</Tag>
            <p>{policy.message}</p>
          </li>
        ))}
      </ul>
    </Stack>
  );
}
