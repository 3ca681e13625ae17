import { Button, Center, Loader, Modal, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Fragment, type ReactNode, useEffect, useState } from 'react';

import type { Application } from './application';
import { Banner } from './Banner';
import { follow } from './live';
import { LogIn } from './LogIn';
import { Problem, Unreachable } from './problem';
import { whenBack } from './reach';
import { begin, end, session } from './session';
import { useStore } from './store';
import { tell } from './tell';

/** How long after a service that could not say who is there is asked again. */
const AGAIN_MS = 2_000;

/**
 * Stands before the pages until it is known who is there. A session that ends later is asked for again in a dialog over
 * the page, which stays as it is: nothing that was typed is lost, and what was under way goes on. For another person who
 * logs in there the page begins anew.
 */
export function Gate({ app, children }: { readonly app: Application; readonly children: ReactNode }) {
  const now = useStore(session);
  const queries = useQueryClient();
  const [waits, setWaits] = useState(false);

  useEffect(() => {
    let timer: number | undefined;
    const ask = async () => {
      window.clearTimeout(timer);
      if (session.get().is !== 'unknown') return;
      try {
        const who = await app.who();
        if (who) begin(who);
        else end();
      } catch (error) {
        // A service that cannot look the session up does not say that there is none.
        const ailing = error instanceof Problem && error.status === 503;
        if (!ailing && !(error instanceof Unreachable)) {
          end();
          return;
        }
        // Asked again as soon as it is back; until then the banner says so.
        setWaits(true);
        // It may have been back before the banner found it away: then nothing tells of its return.
        window.clearTimeout(timer);
        if (ailing) timer = window.setTimeout(() => void ask(), AGAIN_MS);
      }
    };
    whenBack(() => void ask());
    void ask();
    return () => window.clearTimeout(timer);
  }, [app]);

  const whose = now.is === 'in' ? now.who.name : undefined;
  useEffect(() => (whose === undefined ? undefined : follow(queries, app.topics)), [whose, queries, app.topics]);

  const before = now.is === 'in' ? now.before : undefined;
  useEffect(() => {
    if (!before) return;
    const waited = before.dropped ? ' What waited for the log-in was not carried out.' : '';
    tell.lasting(`The page was ${before.name}’s`, `It began anew for you: what they had typed and not saved is gone.${waited}`);
  }, [before]);

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
      <Fragment key={now.who.name}>{children}</Fragment>
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
          Log in again to go on. What you typed on this page is still there. For another account the page begins anew,
          without it.
        </Text>
        {now.is === 'over' && <LogIn app={app} as={now.who.name} inside />}
        <Button variant="subtle" color="gray" fullWidth mt="xs" onClick={end}>
          Leave, and lose what was not saved
        </Button>
      </Modal>
    </>
  );
}
