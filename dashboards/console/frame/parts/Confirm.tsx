import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, type ReactNode, useState } from 'react';

import { tell } from '../tell';
import { Refused } from './Note';

interface Props {
  readonly title: string;
  /** What will happen, and what will not. */
  readonly impact: ReactNode;
  /** What has to be typed; absent: a click is enough. */
  readonly word?: string;
  /** What the button says. */
  readonly verb: string;
  readonly danger?: boolean;
  /** Further fields. */
  readonly children?: ReactNode;
  /** Of these, whose refusals stand at them. */
  readonly fields?: readonly string[];
  readonly busy: boolean;
  readonly error: unknown;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}

/** Asks before something that cannot be taken back, or that is felt elsewhere. Mounted while it is open. */
export function Confirm({ title, impact, word, verb, danger = false, children, fields = [], busy, error, onConfirm, onClose }: Props) {
  const [typed, setTyped] = useState('');
  const ready = word === undefined || typed.trim() === word;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (ready && !busy) onConfirm();
  };
  return (
    <Modal opened onClose={onClose} title={title} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <div>{impact}</div>
          {children}
          {word !== undefined && (
            <TextInput
              label={
                <>
                  Type <code>{word}</code> to confirm
                </>
              }
              value={typed}
              autoComplete="off"
              spellCheck={false}
              data-autofocus
              onChange={(event) => setTyped(event.currentTarget.value)}
            />
          )}
          {error !== null && error !== undefined && <Refused error={error} fields={fields} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color={danger ? 'red.9' : undefined} disabled={!ready} loading={busy}>
              {verb}
            </Button>
          </Group>
          {word !== undefined && !ready && typed !== '' && (
            <Text size="xs" c="dimmed" role="status">
              This is not {word} yet.
            </Text>
          )}
        </Stack>
      </form>
    </Modal>
  );
}

interface AskProps extends Pick<Props, 'title' | 'impact' | 'word' | 'verb' | 'danger' | 'onClose'> {
  /** What is done then. */
  readonly act: () => Promise<unknown>;
  /** Said once it is done. */
  readonly done: string;
  /** Key of the queries that it makes stale, or its beginning. */
  readonly stale: readonly string[];
}

/** Asks, does it, says so, and asks anew for what it changed. */
export function AskFirst({ act, done, stale, onClose, ...words }: AskProps) {
  const queries = useQueryClient();
  const acting = useMutation({
    mutationFn: act,
    onSuccess: async () => {
      tell.done(done);
      onClose();
      await queries.invalidateQueries({ queryKey: stale });
    },
  });
  return <Confirm {...words} busy={acting.isPending} error={acting.error} onConfirm={() => acting.mutate()} onClose={onClose} />;
}
