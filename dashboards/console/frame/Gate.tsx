import { Button, Center, Loader, Modal, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';

import type { Application } from './application';
import { Banner } from './Banner';
import { follow } from './live';
import { LogIn } from './LogIn';
import { Unreachable } from './problem';
import { whenBack } from './reach';
import { begin, end, session } from './session';
import { useStore } from './store';

/**
 * Stands before the pages until it is known who is there. A session that ends later is asked for again in a dialog over
 * the page, which stays as it is: nothing that was typed is lost, and what was under way goes on.
 */
export function Gate({ app, children }: { readonly app: Application; readonly children: ReactNode }) {
  const now = useStore(session);
  const queries = useQueryClient();
  const [waits, setWaits] = useState(false);

  useEffect(() => {
    const ask = async () => {
      if (session.get().is !== 'unknown') return;
      try {
        const who = await app.who();
        if (who) begin(who);
        else end();
      } catch (error) {
        // Asked again as soon as it answers; until then the banner says so.
        if (error instanceof Unreachable) setWaits(true);
        else end();
      }
    };
    whenBack(() => void ask());
    void ask();
  }, [app]);

  const inside = now.is === 'in';
  useEffect(() => (inside ? follow(queries, app.topics) : undefined), [inside, queries, app.topics]);

  useEffect(() => {
    // What one person saw is not the next one's to see.
    if (now.is === 'out') queries.clear();
  }, [now.is, queries]);

  if (now.is === 'unknown') {
    return (
      <>
        <Banner />
        <Center mih="80vh">
          <Stack align="center" gap="xs">
            <Loader aria-label="Loading" />
            {waits && <Text c="dimmed">Waiting for {app.name} to answer.</Text>}
          </Stack>
        </Center>
      </>
    );
  }
  if (now.is === 'out') return <LogIn app={app} />;
  return (
    <>
      {children}
      <Modal
        opened={now.is === 'over'}
        onClose={() => undefined}
        closeOnClickOutside={false}
        closeOnEscape={false}
        withCloseButton={false}
        title="Your session is over"
        zIndex={400}
      >
        <Text size="sm" mb="sm">
          Log in again to go on. What you typed on this page is still there.
        </Text>
        {now.is === 'over' && <LogIn app={app} as={now.who.name} inside />}
        <Button variant="subtle" color="gray" fullWidth mt="xs" onClick={end}>
          Leave, and lose what was not saved
        </Button>
      </Modal>
    </>
  );
}
