import { PasswordInput } from '@mantine/core';

/** The shortest passphrase of a copy, in bytes. */
const SHORTEST = 12;

/** A passphrase, typed twice. */
export interface Twice {
  readonly first: string;
  readonly again: string;
}

export const NO_PASSPHRASE: Twice = { first: '', again: '' };

const isShort = (text: string): boolean => new TextEncoder().encode(text).length < SHORTEST;

/** Whether a copy can be encrypted under it. */
export const isGood = ({ first, again }: Twice): boolean => !isShort(first) && first === again;

/** What is wrong, at the field where it is: told once there is something typed. */
export function wrong({ first, again }: Twice): { readonly first?: string; readonly again?: string } {
  return {
    ...(first !== '' && isShort(first) ? { first: `At least ${SHORTEST} characters.` } : {}),
    ...(again !== '' && again !== first ? { again: 'This is not the same.' } : {}),
  };
}

/** Under what a copy of a key is encrypted. */
export function PassphraseTwice({ value, onChange }: { readonly value: Twice; readonly onChange: (value: Twice) => void }) {
  const errors = wrong(value);
  return (
    <>
      <PasswordInput
        label="Passphrase of the copy"
        description={`At least ${SHORTEST} characters. Nobody can find it out for you.`}
        required
        autoComplete="new-password"
        value={value.first}
        error={errors.first}
        visibilityToggleButtonProps={{ tabIndex: 0, 'aria-label': 'Show the passphrase' }}
        onChange={(event) => onChange({ ...value, first: event.currentTarget.value })}
      />
      <PasswordInput
        label="The passphrase again"
        required
        autoComplete="new-password"
        value={value.again}
        error={errors.again}
        visibilityToggleButtonProps={{ tabIndex: 0, 'aria-label': 'Show the passphrase that was typed again' }}
        onChange={(event) => onChange({ ...value, again: event.currentTarget.value })}
      />
    </>
  );
}
