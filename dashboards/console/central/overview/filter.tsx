import { Button, Checkbox, Group, Popover, Stack, Text, TextInput } from '@mantine/core';
import { IconFilter } from '@tabler/icons-react';
import { plural } from '@frame/format';
import { useState } from 'react';

import { effective, toggled } from './choice';

interface Props {
  readonly all: readonly string[];
  /** None: all. */
  readonly chosen: readonly string[];
  readonly onChange: (names: readonly string[]) => void;
}

/** More than a person reads; the search finds the rest. */
const SHOWN = 100;

/** Which gateways the figures are of. All checked and none checked both mean all. */
export function GatewayFilter({ all, chosen, onChange }: Props) {
  const [text, setText] = useState('');
  const found = all.filter((name) => name.toLowerCase().includes(text.trim().toLowerCase()));
  const active = effective(all, chosen);
  return (
    <Group gap={8}>
      <Popover position="bottom-end" width={300} trapFocus shadow="md">
        <Popover.Target>
          <Button variant="default" leftSection={<IconFilter size={16} aria-hidden />}>
            {active.length === 0 ? 'All gateways' : `${plural(active.length, 'gateway')} of ${all.length}`}
          </Button>
        </Popover.Target>
        <Popover.Dropdown aria-label="Gateways that the figures are of">
          <Stack gap={8}>
            <TextInput aria-label="Find a gateway" placeholder="Find a gateway" value={text} onChange={(event) => setText(event.currentTarget.value)} />
            <Stack gap={6} mah={280} style={{ overflowY: 'auto' }} p={2}>
              {found.slice(0, SHOWN).map((name) => (
                <Checkbox key={name} label={name} checked={chosen.includes(name)} onChange={() => onChange(toggled(chosen, name))} />
              ))}
              {found.length === 0 && (
                <Text size="sm" c="dimmed">
                  No gateway is called that.
                </Text>
              )}
              {found.length > SHOWN && (
                <Text size="xs" c="dimmed">
                  {found.length - SHOWN} more: type a part of the name.
                </Text>
              )}
            </Stack>
            <Text size="xs" c="dimmed">
              None checked and all checked both mean all gateways.
            </Text>
          </Stack>
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
