import { ActionIcon, Tooltip } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import { useRef, useState } from 'react';

/** Puts a text on the clipboard. Browsers have the newer way over TLS and on this machine only. */
async function copy(value: string): Promise<boolean> {
  // Absent where the page is not secure, whatever the types say.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard) {
    try {
      await clipboard.writeText(value);
      return true;
    } catch {
      // Not allowed: the older way.
    }
  }
  const area = document.createElement('textarea');
  area.value = value;
  area.style.position = 'fixed';
  area.style.opacity = '0';
  document.body.append(area);
  area.select();
  // Deprecated, and the only way on a page without TLS.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  const done = document.execCommand('copy');
  area.remove();
  return done;
}

/** A button that copies. */
export function CopyButton({ value, what }: { readonly value: string; readonly what: string }) {
  const [done, setDone] = useState(false);
  const timer = useRef<number | undefined>(undefined);
  const onClick = async () => {
    setDone(await copy(value));
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setDone(false), 2_000);
  };
  return (
    <Tooltip label={done ? 'Copied' : `Copy ${what}`}>
      <ActionIcon variant="default" size="lg" aria-label={done ? `${what} copied` : `Copy ${what}`} onClick={onClick}>
        {done ? <IconCheck size={16} aria-hidden /> : <IconCopy size={16} aria-hidden />}
      </ActionIcon>
    </Tooltip>
  );
}

/** A text to take away: a command, a token. */
export function CopyText({ value, what }: { readonly value: string; readonly what: string }) {
  return (
    <div className="sg-copy">
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard */}
      <pre className="sg-code sg-wrap" tabIndex={0} aria-label={what}>
        {value}
      </pre>
      <CopyButton value={value} what={what} />
    </div>
  );
}
