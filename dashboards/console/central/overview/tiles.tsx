import { bytes, count, plural, share } from '@frame/format';
import { State } from '@frame/parts/State';
import { Tile } from '@frame/parts/Tile';
import { Time } from '@frame/parts/Time';
import { Link } from '@tanstack/react-router';

import type { Schemas } from '../api';
import { ENCRYPTED, PLAIN } from '../figures/data';

interface Props {
  readonly of: Schemas['Overview'];
  /** The gateways that it is of; none: all. */
  readonly only: readonly string[];
}

/** Numbers, each a way to the rows that it is made of. */
export function Tiles({ of, only }: Props) {
  const gateways = only.length > 0 ? only.join(',') : undefined;
  const { convergence, kms } = of;
  const offline = convergence.gateways - convergence.effective - convergence.refused;
  return (
    <div className="sg-tiles">
      <Tile name="Total gateways" value={count(of.gateways.total)} link={{ to: '/gateways', search: { gateways } }}>
        <Link to="/gateways" search={{ connection: 'connected', gateways }}>
          <State tone="good">{count(of.gateways.connected)} connected</State>
        </Link>
        <Link to="/gateways" search={{ connection: 'late', gateways }}>
          <State tone={of.gateways.late > 0 ? 'warn' : 'idle'}>{count(of.gateways.late)} late</State>
        </Link>
        <Link to="/gateways" search={{ connection: 'lost', gateways }}>
          <State tone={of.gateways.lost > 0 ? 'bad' : 'idle'}>{count(of.gateways.lost)} lost</State>
        </Link>
        {of.gateways.quarantined > 0 && (
          <Link to="/gateways" search={{ state: 'quarantined', gateways }}>
            <State tone="bad">{count(of.gateways.quarantined)} quarantined</State>
          </Link>
        )}
      </Tile>
      <Tile name="Objects encrypted" value={count(of.objects.encrypted)} link={{ to: '/figures', search: { outcome: ENCRYPTED.join(','), gateways, by: 'gateway' } }}>
        <Link to="/figures" search={{ outcome: PLAIN.join(','), gateways, by: 'outcome' }}>
          {count(of.objects.plain)} stored as they were
        </Link>
      </Tile>
      <Tile name="Data protected" value={bytes(of.bytes.encrypted)} link={{ to: '/figures', search: { outcome: ENCRYPTED.join(','), gateways, by: 'bucket' } }}>
        <span>{share(of.bytes.encrypted, of.bytes.encrypted + of.bytes.plain)} of all that was stored</span>
      </Tile>
      <Tile name="Virtual buckets used" value={count(of.buckets.total)} link={{ to: '/coverage' }}>
        <Link to="/coverage" search={{ show: 'covered' }}>
          {count(of.buckets.encrypting)} encrypt every new object
        </Link>
        {of.buckets.not_looked_through > 0 && (
          <Link to="/coverage" search={{ show: 'unknown' }}>
            {count(of.buckets.not_looked_through)} not counted whole
          </Link>
        )}
      </Tile>
      <Tile name="Policy convergence" value={`${count(convergence.effective)} of ${count(convergence.gateways)}`} link={{ to: '/revisions' }}>
        <span>
          effective at revision {count(convergence.revision)}
          {convergence.since && <>, published <Time at={convergence.since} /></>}
        </span>
        {convergence.refused > 0 && (
          <Link to="/gateways" search={{ refusing: true, gateways }}>
            <State tone="bad">{count(convergence.refused)} refused</State>
          </Link>
        )}
        {offline > 0 && (
          <Link to="/gateways" search={{ behind: true, gateways }}>
            <State tone="warn">{count(offline)} not there yet</State>
          </Link>
        )}
      </Tile>
      <Tile name="KMS health" value={kms.total === 0 ? 'None' : kms.failing > 0 ? plural(kms.failing, 'failing', 'failing') : 'Well'} link={{ to: '/kms' }}>
        <State tone={kms.failing > 0 ? 'bad' : kms.total > 0 ? 'good' : 'idle'}>
          {count(kms.healthy)} of {count(kms.total)} ready
        </State>
        <span>
          {count(kms.calls)} calls, {count(kms.errors)} errors
        </span>
      </Tile>
    </div>
  );
}
