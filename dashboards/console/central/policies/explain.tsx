import { Button, Group, NumberInput, Select, Stack, TextInput } from '@mantine/core';
import { read } from '@frame/api';
import { Failure, Note } from '@frame/parts/Note';
import { Panel } from '@frame/parts/Page';
import { State, Tag } from '@frame/parts/State';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';

import { api } from '../api';
import { type LabelRow, LabelFields, labelsOf } from '../gateways/fields';
import type { Explanation } from './data';

const VERDICTS = {
  encrypt: { tone: 'good', text: 'It is stored encrypted' },
  deny: { tone: 'bad', text: 'The request is refused' },
  pass: { tone: 'idle', text: 'No policy decides: toggle, client and floor do' },
} as const;

/** How an object would fare, and why, policy by policy. */
export function Explain() {
  const [bucket, setBucket] = useState('finance');
  const [key, setKey] = useState('payroll/june.csv');
  const [size, setSize] = useState<number | string>(1024);
  const [type, setType] = useState('text/csv');
  const [principal, setPrincipal] = useState('');
  const [tags, setTags] = useState<readonly LabelRow[]>([]);
  const [gateway, setGateway] = useState<string | null>(null);
  const gateways = useQuery({
    queryKey: ['gateways', 'some'],
    queryFn: ({ signal }) => read(api.GET('/api/v1/gateways', { params: { query: { limit: 200 } }, signal })),
  });
  const labels = gateways.data?.gateways.find((one) => one.name === gateway)?.labels ?? {};
  const explaining = useMutation({
    mutationFn: async () => {
      const request = {
        bucket,
        object: { key, size: size === '' ? null : Number(size), contentType: type, tags: labelsOf(tags) },
        request: { principal },
        gateway: { labels },
      };
      return (await read(api.POST('/api/v1/policy-set/explain', { body: request as never }))) as unknown as Explanation;
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    explaining.mutate();
  };
  const verdict = explaining.data && VERDICTS[explaining.data.decision.verdict];
  return (
    <Panel title="Explain">
      <form onSubmit={submit}>
        <Stack gap="xs">
          <p style={{ margin: 0, color: 'var(--sg-quiet)' }}>How an object would fare under the published policies, and why.</p>
          <Group gap="xs" grow align="flex-start">
            <TextInput label="Bucket" required value={bucket} onChange={(event) => setBucket(event.currentTarget.value)} />
            <TextInput label="Key" required value={key} onChange={(event) => setKey(event.currentTarget.value)} />
          </Group>
          <Group gap="xs" grow align="flex-start">
            <NumberInput label="Size in bytes" description="Empty: not known" min={0} value={size} onChange={setSize} />
            <TextInput label="Content type" description="As the client sends it" value={type} onChange={(event) => setType(event.currentTarget.value)} />
          </Group>
          <Group gap="xs" grow align="flex-start">
            <TextInput label="Access key" description="Of the client" value={principal} onChange={(event) => setPrincipal(event.currentTarget.value)} />
            <Select
              label="Gateway"
              description="Policies select by its labels"
              placeholder="no labels"
              clearable
              clearButtonProps={{ 'aria-label': 'No gateway' }}
              searchable
              value={gateway}
              data={gateways.data?.gateways.map((one) => one.name) ?? []}
              onChange={setGateway}
            />
          </Group>
          <div>
            <p style={{ margin: '0 0 4px', fontWeight: 500 }}>Tags of the object</p>
            <LabelFields rows={tags} onChange={setTags} what="tag" />
          </div>
          <Group>
            <Button type="submit" variant="default" loading={explaining.isPending}>
              Explain
            </Button>
          </Group>
        </Stack>
      </form>
      <div aria-live="polite" style={{ marginTop: 12 }}>
        {explaining.isError && <Failure error={explaining.error} />}
        {explaining.data && verdict && (
          <Stack gap="xs">
            <Note tone={verdict.tone} title={verdict.text}>
              {`By revision ${explaining.data.revision.number}.`}
            </Note>
            <ul className="sg-reasons">
              {explaining.data.policies.map((policy) => (
                <li key={policy.uid}>
                  <State tone={policy.applies ? (policy.effect === 'deny' ? 'bad' : 'good') : 'idle'}>{policy.name}</State>{' '}
                  {policy.recorded && <Tag tone="accent">recorded</Tag>} <Tag>{policy.mode}</Tag>
                  <p>{policy.message}</p>
                </li>
              ))}
            </ul>
          </Stack>
        )}
      </div>
    </Panel>
  );
}
