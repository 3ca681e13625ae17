import { Button, Group } from '@mantine/core';
import { type ErrorComponentProps, Link, useRouter } from '@tanstack/react-router';

import { Failure } from './parts/Note';
import { Page } from './parts/Page';

/** A page that failed to show; the frame around it stays. */
export function PageError({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  // After an update of the service a page's own script may be gone: the new one is got by loading anew.
  const stale = error instanceof TypeError && /import|module/i.test(error.message);
  return (
    <Page title="This page failed">
      <Failure error={error} />
      <Group mt="md" gap="xs">
        <Button
          onClick={() => {
            if (stale) window.location.reload();
            reset();
            void router.invalidate();
          }}
        >
          Load it again
        </Button>
      </Group>
    </Page>
  );
}

/** There is no such page. */
export function NoPage() {
  return (
    <Page title="There is no such page" lead="The address may be mistyped, or what it named is gone.">
      <Link to="/">To the first page</Link>
    </Page>
  );
}
