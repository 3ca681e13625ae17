import { Button, Checkbox, Group, Popover, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconFilter } from '@tabler/icons-react';
import { count, plural } from '@frame/format';
import { explain } from '@frame/problem';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { namesQuery } from '../gateways/data';
import { toggled } from './choice';

interface Props {
  /** None: all. */
  readonly chosen: readonly string[];
  /** What the choice narrows to; none where it does not. */
  readonly active: readonly string[];
  readonly total: number | undefined;
  readonly onChange: (names: readonly string[]) => void;
}

/** Which gateways the figures are of. All checked and none checked both mean all. */
export function GatewayFilter({ chosen, active, total, onChange }: Props) {
  return (
    <Group gap={8}>
      <Popover position="bottom-end" width={300} trapFocus shadow="md">
        <Popover.Target>
          <Button variant="default" leftSection={<IconFilter size={16} aria-hidden />}>
            {active.length === 0 ? 'All gateways' : `${plural(active.length, 'gateway')}${total === undefined ? '' : ` of ${count(total)}`}`}
          </Button>
        </Popover.Target>
        <Popover.Dropdown aria-label="Gateways that the figures are of">
          <Choice chosen={chosen} onChange={onChange} />
        </Popover.Dropdown>
      </Popover>
      {chosen.length > 0 && (
        <Button variant="subtle" onClick={() => onChange([])}>
          Reset
        </Button>
      )}
    </Group>
  );
}

/** The chosen ones first, then what the service finds: of ten thousand gateways nobody reads a list. */
function Choice({ chosen, onChange }: Pick<Props, 'chosen' | 'onChange'>) {
  const [text, setText] = useState('');
  const [asked] = useDebouncedValue(text.trim().toLowerCase(), 200);
  const found = useQuery({ ...namesQuery(asked), placeholderData: keepPreviousData });
  const [first] = useState(chosen);
  const names = found.data?.gateways.map((one) => one.name) ?? [];
  const above = first.filter((name) => name.includes(asked));
  const shown = [...above, ...names.filter((name) => !above.includes(name))];
  const more = (found.data?.total ?? 0) - names.length;
  return (
    <Stack gap={8}>
      <TextInput aria-label="Find a gateway" placeholder="Find a gateway" data-autofocus value={text} onChange={(event) => setText(event.currentTarget.value)} />
      <Stack gap={6} mah={280} style={{ overflowY: 'auto' }} p={2}>
        {shown.map((name) => (
          <Checkbox key={name} label={name} checked={chosen.includes(name)} onChange={() => onChange(toggled(chosen, name))} />
        ))}
        {found.isError && (
          <Text size="sm" role="alert">
            {explain(found.error)}
          </Text>
        )}
        {found.isSuccess && shown.length === 0 && (
          <Text size="sm" c="dimmed">
            {asked === '' ? 'No gateway is enrolled yet.' : 'No gateway is called that.'}
          </Text>
        )}
        {more > 0 && (
          <Text size="xs" c="dimmed">
            {count(more)} more: type a part of the name.
          </Text>
        )}
      </Stack>
      <Text size="xs" c="dimmed">
        None checked and all checked both mean all gateways.
      </Text>
    </Stack>
  );
}
