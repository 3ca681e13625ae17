import { ActionIcon, Button, Group, Stack, TextInput } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';

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

/** As a reference: called as soon as the field is there. */
const focusOnce = (field: HTMLInputElement | null): void => field?.focus();

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
  // The keyboard goes on in the row that it made.
  const [made, setMade] = useState(0);
  const add = () => {
    const more = row();
    setMade(more.id);
    onChange([...rows, more]);
  };
  const change = (id: number, part: Partial<LabelRow>) => onChange(rows.map((one) => (one.id === id ? { ...one, ...part } : one)));
  return (
    <Stack gap={6} role="group" aria-label={`${what}s`}>
      {rows.map((one, index) => (
        <Group key={one.id} gap={6} wrap="nowrap">
          <TextInput ref={one.id === made ? focusOnce : undefined} aria-label={`Key of ${what} ${index + 1}`} placeholder={what === 'label' ? 'region' : 'classification'} flex={1} value={one.key} onChange={(event) => change(one.id, { key: event.currentTarget.value })} />
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
        <Button variant="default" size="xs" leftSection={<IconPlus size={14} aria-hidden />} onClick={add}>
          Add a {what}
        </Button>
      </Group>
    </Stack>
  );
}
