import { Button, Group, Progress } from '@mantine/core';
import { bytes, count, plural } from '@frame/format';
import { Panel } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { explain, Problem, Unreachable } from '@frame/problem';
import { useStore } from '@frame/store';
import { Link } from '@tanstack/react-router';
import { useEffect } from 'react';

import { active, again, cancel, type Step, tidy, type Upload, uploads } from './uploads';

/** What asks for somebody comes first. */
const ORDER: readonly Step[] = ['failed', 'sending', 'waiting', 'cancelled', 'stored'];
/** So many are listed; of a whole tree of folders the rest is counted. */
const SHOWN = 100;

/** The files on their way, each with how far it is and what became of it. */
export function Uploads() {
  const all = useStore(uploads);
  const left = all.filter(active);
  const under = left.length > 0;
  useEffect(() => {
    if (!under) return undefined;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener('beforeunload', ask);
    return () => window.removeEventListener('beforeunload', ask);
  }, [under]);
  if (all.length === 0) return null;
  const failed = all.filter((one) => one.step === 'failed').length;
  return (
    <Panel
      title="Uploads"
      flush
      aside={
        <Group gap={10}>
          <span role="status" style={{ color: 'var(--sg-quiet)' }}>
            {under ? `${plural(left.length, 'file')} to go` : failed > 0 ? `${plural(failed, 'file')} failed` : 'All are stored or cancelled'}
          </span>
          {under ? (
            <Button size="xs" variant="default" onClick={() => left.forEach((one) => cancel(one.id))}>
              Cancel all
            </Button>
          ) : (
            <Button size="xs" variant="default" onClick={tidy}>
              Clear the list
            </Button>
          )}
        </Group>
      }
    >
      <ul className="sg-uploads">
        {all
          .toSorted((a, b) => ORDER.indexOf(a.step) - ORDER.indexOf(b.step))
          .slice(0, SHOWN)
          .map((one) => (
            <File key={one.id} of={one} />
          ))}
        {all.length > SHOWN && <li>and {count(all.length - SHOWN)} further</li>}
      </ul>
    </Panel>
  );
}

function File({ of: one }: { readonly of: Upload }) {
  const there = one.error instanceof Problem && one.error.status === 412;
  return (
    <li>
      <div className="sg-upload-name">
        {one.step === 'stored' ? (
          <Link to="/objects" search={(now) => ({ ...now, bucket: one.bucket, key: one.key })}>
            {one.key}
          </Link>
        ) : (
          <span>{one.key}</span>
        )}
        <small>into {one.bucket}</small>
      </div>
      <div className="sg-upload-step">
        <Sign of={one} />
      </div>
      <Group gap={6} justify="flex-end" wrap="nowrap">
        {active(one) && (
          <Button size="compact-xs" variant="default" onClick={() => cancel(one.id)}>
            Cancel<span className="sg-hidden"> {one.key}</span>
          </Button>
        )}
        {one.step === 'failed' && there && (
          <Button size="compact-xs" variant="default" onClick={() => again(one.id, true)}>
            Replace it<span className="sg-hidden">: {one.key}</span>
          </Button>
        )}
        {((one.step === 'failed' && !there) || one.step === 'cancelled') && (
          <Button size="compact-xs" variant="default" onClick={() => again(one.id, one.replace)}>
            Try again<span className="sg-hidden"> {one.key}</span>
          </Button>
        )}
      </Group>
      {one.step === 'failed' && (
        <p role="alert">
          {there ? 'There is an object of that name already; nothing was changed.' : one.error instanceof Unreachable ? 'The connection broke before the gateway answered. Try again: nothing that is there is replaced.' : explain(one.error)}
        </p>
      )}
    </li>
  );
}

function Sign({ of: one }: { readonly of: Upload }) {
  switch (one.step) {
    case 'waiting':
      return <State tone="idle">waiting, {bytes(one.file.size)}</State>;
    case 'sending': {
      const part = one.file.size === 0 ? 100 : Math.floor((100 * one.sent) / one.file.size);
      return (
        <>
          <Progress value={part} aria-label={`Upload of ${one.key}`} />
          <small className="sg-figure">{part < 100 ? `${part} %, ${bytes(one.sent)} of ${bytes(one.file.size)}` : `${bytes(one.file.size)} sent; the storage is still writing`}</small>
        </>
      );
    }
    case 'stored':
      return <State tone="good">{one.encrypted ? 'stored, encrypted' : 'stored as it is'}, {bytes(one.file.size)}</State>;
    case 'failed':
      return <State tone="bad">not stored</State>;
    case 'cancelled':
      return <State tone="idle">cancelled, nothing is stored</State>;
  }
}
