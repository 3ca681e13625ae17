import { Button, Group, Stack } from '@mantine/core';
import { readTagged } from '@frame/api';
import { Problem } from '@frame/problem';
import { Note } from '@frame/parts/Note';
import { Panel } from '@frame/parts/Page';
import { Unsaved } from '@frame/parts/Unsaved';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { TextDiff } from './diff';
import { PolicyEditor, Publish } from './edit';
import { put } from './write';

interface Props {
  readonly name: string;
  /** As it is published now. */
  readonly source: string;
  /** Of that text. */
  readonly etag: string;
  readonly changedIn: number;
  readonly edits: boolean;
}

/** What an edit began from. */
interface Base {
  readonly source: string;
  readonly etag: string;
  /** It was published here, in place of this one: the page may not have heard of it yet. */
  readonly before?: string;
}

/** Edits a policy. Where somebody else publishes meanwhile, both texts are shown, and what was typed stays. */
export function EditPolicy({ name, source, etag, changedIn, edits }: Props) {
  const [base, setBase] = useState<Base>({ source, etag });
  const [text, setText] = useState(source);
  const dirty = text !== base.source;
  const queries = useQueryClient();

  const moved = base.etag !== etag && base.before !== etag;
  // Nothing was typed: the page follows what is published.
  if (!dirty && moved) {
    setBase({ source, etag });
    setText(source);
  }
  const theirs = dirty && moved;

  const publishing = useMutation({
    mutationFn: (sent: string) => readTagged(put(name, sent, { 'If-Match': base.etag })),
    onSuccess: async ({ value, etag: tag }, sent) => {
      // Not what stands there now: somebody may have typed on while it was under way.
      setBase({ source: sent, etag: tag, before: base.etag });
      tell.done(value.changed.length > 0 ? `Revision ${value.revision} is published` : 'Nothing was changed');
      await queries.invalidateQueries({ queryKey: ['policies'] });
    },
    onError: async (error) => {
      // What is published now is fetched, so that it can be shown beside what was typed.
      if (error instanceof Problem && error.status === 412) await queries.invalidateQueries({ queryKey: ['policies', 'one', name] });
    },
  });
  const stale = publishing.error instanceof Problem && publishing.error.status === 412;

  return (
    <Stack gap="sm">
      {theirs && (
        <Note tone="warn" title={`Somebody else published this policy meanwhile, in revision ${changedIn}`} alert>
          <p>{stale ? 'Your text was not published, and it is still below.' : 'Your text is still below.'} Compare, then decide which one goes on.</p>
          <Group gap="xs" mt={8}>
            <Button
              size="xs"
              onClick={() => {
                setBase({ source, etag });
                publishing.reset();
              }}
            >
              Go on with mine, on top of theirs
            </Button>
            <Button
              size="xs"
              variant="default"
              onClick={() => {
                setBase({ source, etag });
                setText(source);
                publishing.reset();
              }}
            >
              Take theirs, drop mine
            </Button>
          </Group>
        </Note>
      )}
      {theirs && (
        <div className="sg-split">
          <Panel title="What they changed">
            <TextDiff before={base.source} after={source} />
          </Panel>
          <Panel title="What you changed">
            <TextDiff before={base.source} after={text} />
          </Panel>
        </div>
      )}
      <PolicyEditor
        text={text}
        onChange={setText}
        readOnly={!edits}
        error={stale ? null : publishing.error}
        actions={
          edits && (
            <>
              <Publish busy={publishing.isPending} dirty={dirty && !theirs} verb="Publish" onClick={() => publishing.mutate(text)} />
              <Button variant="default" disabled={!dirty} onClick={() => setText(base.source)}>
                Take back what you typed
              </Button>
            </>
          )
        }
      />
      {dirty && !theirs && (
        <Panel title="What you changed">
          <TextDiff before={base.source} after={text} />
        </Panel>
      )}
      <Unsaved dirty={dirty} />
    </Stack>
  );
}
