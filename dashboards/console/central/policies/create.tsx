import { readTagged } from '@frame/api';
import { Problem } from '@frame/problem';
import { Page } from '@frame/parts/Page';
import { Unsaved } from '@frame/parts/Unsaved';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';

import { nameIn } from './name';
import { PolicyEditor, Publish, TEMPLATE } from './edit';
import { put } from './write';

/** Writes a policy that is not there yet. */
export function NewPolicy() {
  const [text, setText] = useState(TEMPLATE);
  const [done, setDone] = useState(false);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const publishing = useMutation({
    mutationFn: async () => {
      const name = nameIn(text);
      if (name === undefined) throw new Problem(422, 'no-name', 'It has no name', 'Give it one: metadata, then name.', [], {});
      await readTagged(put(name, text, { 'If-None-Match': '*' }));
      return name;
    },
    onSuccess: async (name) => {
      setDone(true);
      tell.done(`${name} is published`, 'Gateways get it now; its page shows how far it is.');
      await queries.invalidateQueries({ queryKey: ['policies'] });
      await navigate({ to: '/policies/$name', params: { name } });
    },
  });
  return (
    <Page title="New policy" crumbs={[{ title: 'Policies', to: '/policies' }]} lead="Nothing is stored until you publish it.">
      <PolicyEditor
        text={text}
        onChange={setText}
        readOnly={false}
        error={publishing.error}
        actions={<Publish busy={publishing.isPending} dirty verb="Publish" onClick={() => publishing.mutate()} />}
      />
      <Unsaved dirty={text !== TEMPLATE && !done} />
    </Page>
  );
}
