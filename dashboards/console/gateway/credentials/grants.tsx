import { Button, Checkbox, Group, Stack, TagsInput } from '@mantine/core';

import { useQuery } from '@tanstack/react-query';

import { bucketsQuery } from '../buckets/data';
import { type Action, ACTIONS, type Grant, type lacks } from './data';

interface Props {
  readonly grants: readonly Grant[];
  /** What is wrong, once it was tried. */
  readonly wrong: ReturnType<typeof lacks>;
  readonly onChange: (grants: readonly Grant[]) => void;
}

/** The rights of a credential: any number of grants, each for buckets by name or pattern. */
export function Grants({ grants, wrong, onChange }: Props) {
  const buckets = useQuery(bucketsQuery());
  const names = ['*', ...(buckets.data?.buckets.map((one) => one.bucket) ?? [])];
  const set = (index: number, to: Partial<Grant>) => onChange(grants.map((grant, at) => (at === index ? { ...grant, ...to } : grant)));
  return (
    <Stack gap="sm">
      {grants.length === 0 && <span style={{ color: 'var(--sg-quiet)' }}>It may do nothing yet.</span>}
      {grants.map((grant, index) => (
        <fieldset className="sg-fields" key={index}>
          <legend>Grant {index + 1}</legend>
          <TagsInput
            label="In the buckets"
            description="Names or patterns, as finance or hr-*; each with Enter"
            data={names}
            value={grant.buckets}
            error={wrong[index]?.buckets}
            acceptValueOnBlur
            comboboxProps={{ withinPortal: false }}
            clearable={false}
            onChange={(to) => set(index, { buckets: to })}
          />
          <Checkbox.Group mt="xs" label="It may" value={grant.actions} error={wrong[index]?.actions} onChange={(to: string[]) => set(index, { actions: to as Action[] })}>
            <Stack gap={6} mt={4} mb={4}>
              {ACTIONS.map(([action, means]) => (
                <Checkbox key={action} size="xs" value={action} label={means} />
              ))}
            </Stack>
          </Checkbox.Group>
          <Group justify="flex-end">
            <Button size="compact-xs" variant="default" onClick={() => onChange(grants.filter((_, at) => at !== index))}>
              Take grant {index + 1} away
            </Button>
          </Group>
        </fieldset>
      ))}
      <Group>
        <Button size="xs" variant="default" onClick={() => onChange([...grants, { buckets: [], actions: ['read', 'list'] }])}>
          Add a grant
        </Button>
      </Group>
    </Stack>
  );
}
