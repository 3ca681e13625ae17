import { ActionIcon, Button, Group, Stack, TextInput } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';

/** A label while it is typed. */
export interface LabelRow {
  readonly id: number;
  readonly key: string;
  readonly value: string;
}

let next = 0;
const row = (key = '', value = ''): LabelRow => ({ id: (next += 1), key, value });

/** Labels as rows that can be typed in. */
export const rowsOf = (labels: Readonly<Record<string, string>>): LabelRow[] =>
  Object.entries(labels).map(([key, value]) => row(key, value));

/** What was typed, without rows that are empty. */
export const labelsOf = (rows: readonly LabelRow[]): Record<string, string> =>
  Object.fromEntries(rows.map((one) => [one.key.trim(), one.value.trim()] as const).filter(([key]) => key !== ''));

interface Props {
  readonly rows: readonly LabelRow[];
  readonly onChange: (rows: readonly LabelRow[]) => void;
  /** What a row is. */
  readonly what?: string;
  /** Why they were refused. */
  readonly error?: string | undefined;
}

/** Labels, one a row. */
export function LabelFields({ rows, onChange, what = 'label', error }: Props) {
  const change = (id: number, part: Partial<LabelRow>) => onChange(rows.map((one) => (one.id === id ? { ...one, ...part } : one)));
  return (
    <Stack gap={6} role="group" aria-label={`${what}s`}>
      {rows.map((one, index) => (
        <Group key={one.id} gap={6} wrap="nowrap">
          <TextInput aria-label={`Key of ${what} ${index + 1}`} placeholder={what === 'label' ? 'region' : 'classification'} flex={1} value={one.key} onChange={(event) => change(one.id, { key: event.currentTarget.value })} />
          <span aria-hidden>=</span>
          <TextInput aria-label={`Value of ${what} ${index + 1}`} placeholder={what === 'label' ? 'eu-1' : 'pii'} flex={1} value={one.value} onChange={(event) => change(one.id, { value: event.currentTarget.value })} />
          <ActionIcon variant="default" size="lg" aria-label={`Remove ${what} ${index + 1}`} onClick={() => onChange(rows.filter((other) => other.id !== one.id))}>
            <IconTrash size={16} aria-hidden />
          </ActionIcon>
        </Group>
      ))}
      {error !== undefined && (
        <p className="sg-wrong" role="alert">
          {error}
        </p>
      )}
      <Group>
        <Button variant="default" size="xs" leftSection={<IconPlus size={14} aria-hidden />} onClick={() => onChange([...rows, row()])}>
          Add a {what}
        </Button>
      </Group>
    </Stack>
  );
}
