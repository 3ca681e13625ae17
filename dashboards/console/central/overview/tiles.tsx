import { bytes, count, plural, share } from '@frame/format';
import { State } from '@frame/parts/State';
import { Tile } from '@frame/parts/Tile';
import { Time } from '@frame/parts/Time';
import { Way } from '@frame/parts/Way';

import type { Schemas } from '../api';
import { known } from '../coverage/sums';
import { ENCRYPTED, OTHER, PLAIN, STORED } from '../figures/data';

interface Props {
  readonly of: Schemas['Overview'];
  /** The gateways that it is of; none: all. */
  readonly only: readonly string[];
}

/** Whoever may not read gateways sees the numbers, and no rows behind them. */
const ROWS = 'read-gateways';

/** Numbers, each a way to the rows that it is made of. */
export function Tiles({ of, only }: Props) {
  const gateways = only.length > 0 ? only.join(',') : undefined;
  const { convergence, kms } = of;
  const behind = convergence.gateways - convergence.effective;
  const encrypted = { outcome: ENCRYPTED.join(','), gateways } as const;
  const other = of.objects.other;
  const least = of.buckets.not_looked_through > 0;
  return (
    <div className="sg-tiles">
      <Tile name="Total gateways" value={count(of.gateways.total)} link={{ to: '/gateways', search: { retired: 'no', gateways } }}>
        <Way to="/gateways" search={{ connection: 'connected', gateways }}>
          <State tone={of.gateways.connected > 0 ? 'good' : 'idle'}>{count(of.gateways.connected)} connected</State>
        </Way>
        <Way to="/gateways" search={{ connection: 'late', gateways }}>
          <State tone={of.gateways.late > 0 ? 'warn' : 'idle'}>{count(of.gateways.late)} late</State>
        </Way>
        <Way to="/gateways" search={{ connection: 'lost', gateways }}>
          <State tone={of.gateways.lost > 0 ? 'bad' : 'idle'}>{count(of.gateways.lost)} lost</State>
        </Way>
        {of.gateways.quarantined > 0 && (
          <Way to="/gateways" search={{ state: 'quarantined', gateways }}>
            <State tone="bad">{count(of.gateways.quarantined)} quarantined</State>
          </Way>
        )}
        {of.gateways.suspended > 0 && (
          <Way to="/gateways" search={{ state: 'suspended', gateways }}>
            <State tone="idle">{count(of.gateways.suspended)} suspended</State>
          </Way>
        )}
      </Tile>
      <Tile name="Objects encrypted" value={count(of.objects.encrypted)} needs={ROWS} link={{ to: '/figures', search: { ...encrypted, by: 'gateway' } }}>
        <Way needs={ROWS} to="/figures" search={{ outcome: PLAIN.join(','), gateways, by: 'outcome' }}>
          {count(of.objects.plain)} stored as they were
        </Way>
        {other > 0 && (
          <Way needs={ROWS} to="/figures" search={{ outcome: OTHER.join(','), gateways, by: 'outcome' }}>
            {count(other)} not known how
          </Way>
        )}
      </Tile>
      <Tile name="Data protected" value={bytes(of.bytes.encrypted)} needs={ROWS} link={{ to: '/figures', search: { ...encrypted, by: 'bucket' } }}>
        <Way needs={ROWS} to="/figures" search={{ outcome: STORED, gateways, by: 'outcome' }}>
          {share(of.bytes.encrypted, of.bytes.encrypted + of.bytes.plain + of.bytes.other)} of {bytes(of.bytes.encrypted + of.bytes.plain + of.bytes.other)} stored
        </Way>
      </Tile>
      <Tile name="Virtual buckets used" value={count(of.buckets.total)} needs={ROWS} link={{ to: '/coverage', search: { gateways } }}>
        <Way needs={ROWS} to="/coverage" search={{ show: 'covered', gateways }}>
          {count(of.buckets.encrypting)} {of.buckets.encrypting === 1 ? 'encrypts' : 'encrypt'} every new object
        </Way>
        {of.buckets.not_looked_through > 0 && (
          <Way needs={ROWS} to="/coverage" search={{ show: 'unknown', gateways }}>
            {count(of.buckets.not_looked_through)} never looked through
          </Way>
        )}
        {of.buckets.total > 0 && (
          <Way needs={ROWS} to="/coverage" search={{ gateways }}>
            Objects encrypted: {known(of.stored.objects_encrypted, least)}, plain: {known(of.stored.objects_plain, least)}
          </Way>
        )}
      </Tile>
      <Tile
        name="Policy convergence"
        value={`${count(convergence.effective)} of ${count(convergence.gateways)}`}
        needs={ROWS}
        link={{ to: '/convergence', search: { gateways } }}
      >
        <span>
          {convergence.revision === 0 ? (
            'no policy is published yet'
          ) : (
            <>
              effective at revision {convergence.revision}
              {convergence.since && <>, published <Time at={convergence.since} /></>}
            </>
          )}
        </span>
        {convergence.refused > 0 && (
          <Way needs={ROWS} to="/convergence" search={{ show: 'refused', gateways }}>
            <State tone="bad">{count(convergence.refused)} refused</State>
          </Way>
        )}
        {behind - convergence.refused > 0 && (
          <Way needs={ROWS} to="/convergence" search={{ show: 'waiting', gateways }}>
            <State tone="warn">{count(behind - convergence.refused)} not there yet</State>
          </Way>
        )}
      </Tile>
      <Tile
        name="KMS health"
        value={kms.total === 0 ? 'None' : kms.failing > 0 ? plural(kms.failing, 'failing', 'failing') : 'Healthy'}
        needs={ROWS}
        link={{ to: '/kms', search: { gateways } }}
      >
        <State tone={kms.failing > 0 ? 'bad' : kms.total > 0 ? 'good' : 'idle'}>
          {count(kms.healthy)} of {count(kms.total)} ready
        </State>
        <Way needs={ROWS} to="/kms" search={{ gateways }}>
          {plural(kms.calls, 'call')}, {plural(kms.errors, 'error')}
        </Way>
      </Tile>
    </div>
  );
}
