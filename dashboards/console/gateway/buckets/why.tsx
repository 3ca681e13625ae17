import { State } from '@frame/parts/State';
import { Link } from '@tanstack/react-router';
import { Fragment } from 'react';

import type { Bucket } from './data';

/** What becomes of new objects. */
export function Effective({ of }: { readonly of: Bucket }) {
  if (!of.effective) return <State tone="idle">stored as they are</State>;
  return <State tone="good">{of.encrypting ? 'encrypted' : 'encrypted where a policy says so'}</State>;
}

/** What asks for encryption, for whoever does not know the interface's words. */
export function Because({ of }: { readonly of: Bucket }) {
  const reasons = of.because.split(',').map((reason) => reason.trim()).filter((reason) => reason !== '');
  if (reasons.length === 0) return <>nothing asks for it</>;
  return (
    <>
      {reasons.map((reason, index) => (
        <Fragment key={reason}>
          {index > 0 && ', '}
          <Reason of={reason} />
        </Fragment>
      ))}
    </>
  );
}

function Reason({ of }: { readonly of: string }) {
  if (of === 'toggle') return <>its switch</>;
  if (of === 'floor') return <Link to="/settings">the floor</Link>;
  if (!of.startsWith('policy ')) return <>{of}</>;
  const name = of.slice('policy '.length);
  return (
    <>
      policy{' '}
      <Link to="/policies" search={{ policy: name }}>
        {name}
      </Link>
    </>
  );
}
