import { Button, Group, PasswordInput, Select, Stack, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';

import { backendsQuery } from '../backends/data';
import { type Credential, type Identity, isKept, type lacking } from './data';

interface Props {
  /** The credential as it is; absent: a new one. */
  readonly of: Credential | undefined;
  readonly identities: readonly Identity[];
  /** What is wrong, once it was tried. */
  readonly wrong: ReturnType<typeof lacking>;
  readonly onChange: (identities: readonly Identity[]) => void;
}

/** Who the holder of a credential is at the storages that know several: at most one each. */
export function Identities({ of, identities, wrong, onChange }: Props) {
  const backends = useQuery(backendsQuery());
  const known = backends.data?.backends.filter((one) => one.kind === 's3').map((one) => one.name) ?? [];
  const free = known.filter((name) => !identities.some((one) => one.backend === name));
  const set = (index: number, to: Partial<Identity>) => onChange(identities.map((one, at) => (at === index ? { ...one, ...to } : one)));
  // Storages on a disk of the gateway know nobody.
  if (known.length === 0 && identities.length === 0) return null;
  return (
    <Stack gap="sm">
      <div>
        <strong>Identities at storages</strong>
        <div style={{ color: 'var(--sg-quiet)' }}>Its requests are made there by this key, and may what both the grants and the storage allow. Elsewhere they are made by the gateway’s own.</div>
      </div>
      {identities.map((one, index) => (
        <fieldset className="sg-fields" key={index}>
          <legend>Identity {index + 1}</legend>
          <Select
            label="At the storage"
            data={[one.backend, ...free]}
            value={one.backend}
            allowDeselect={false}
            comboboxProps={{ withinPortal: false }}
            onChange={(to) => to !== null && set(index, { backend: to, secretKey: '' })}
          />
          <TextInput
            mt="xs"
            label="Access key there"
            autoComplete="off"
            spellCheck={false}
            value={one.accessKey}
            error={wrong[index]?.accessKey}
            onChange={(event) => set(index, { accessKey: event.currentTarget.value.trim() })}
          />
          <PasswordInput
            mt="xs"
            label="Secret key there"
            description={isKept(one, of) ? 'Empty: the one that is there stays' : undefined}
            autoComplete="off"
            value={one.secretKey}
            error={wrong[index]?.secretKey}
            visibilityToggleButtonProps={{ 'aria-label': 'Show the secret key', tabIndex: 0 }}
            onChange={(event) => set(index, { secretKey: event.currentTarget.value })}
          />
          <Group justify="flex-end" mt="xs">
            <Button size="compact-xs" variant="default" onClick={() => onChange(identities.filter((_, at) => at !== index))}>
              Take identity {index + 1} away
            </Button>
          </Group>
        </fieldset>
      ))}
      {free[0] !== undefined && (
        <Group>
          <Button size="xs" variant="default" onClick={() => onChange([...identities, { backend: free[0] ?? '', accessKey: '', secretKey: '' }])}>
            Add an identity
          </Button>
        </Group>
      )}
    </Stack>
  );
}
