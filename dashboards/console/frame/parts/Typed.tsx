import { TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useState } from 'react';

interface Props {
  readonly label: string;
  readonly placeholder?: string;
  readonly width?: number;
  readonly value: string | undefined;
  readonly onChange: (value: string | undefined) => void;
}

/** How long after the last key the service is asked. */
const AFTER_MS = 250;

/** A filter of text: typed at once, asked for a moment later. */
export function Typed({ label, placeholder, width = 200, value, onChange }: Props) {
  const [typed, setTyped] = useState(value ?? '');
  const [known, setKnown] = useState(value);
  if (known !== value) {
    // The address changed otherwise: Reset, or the way back.
    setKnown(value);
    setTyped(value ?? '');
  }
  const later = useDebouncedCallback((text: string) => {
    setKnown(text || undefined);
    onChange(text || undefined);
  }, AFTER_MS);
  return (
    <TextInput
      label={label}
      placeholder={placeholder}
      w={width}
      value={typed}
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        later(event.currentTarget.value.trim());
      }}
    />
  );
}
