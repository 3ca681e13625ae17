import { bytes, count, plural, share } from '@frame/format';
import { State } from '@frame/parts/State';
import { Tile } from '@frame/parts/Tile';
import { Lasting } from '@frame/parts/Time';
import { Link } from '@tanstack/react-router';

import type { Schemas } from '../api';

/** Numbers, each a way to what it is made of. */
export function Tiles({ of }: { readonly of: Schemas['Overview'] }) {
  const { all_time: all, buckets, kms, policies, central, stored } = of;
  const lost = all.denied + all.failed;
  return (
    <div className="sg-tiles sg-four">
      <Tile name="Objects encrypted" value={stored ? count(stored.objects_encrypted) : 'Not known'} link={{ to: '/buckets', search: { sort: '-encrypted' } }}>
        {stored ? (
          <>
            <span>
              {share(stored.objects_encrypted, stored.objects_encrypted + stored.objects_plain)} of those known, {bytes(stored.bytes_encrypted)}
            </span>
            <Link to="/buckets" search={{ sort: '-plain' }}>
              {count(stored.objects_plain)} plain, {bytes(stored.bytes_plain)}
            </Link>
          </>
        ) : (
          <span>The gateway cannot tell what is stored</span>
        )}
      </Tile>
      <Tile name="Data from clients" value={bytes(all.bytes_in)} link={{ to: '/', search: true, hash: 'outcomes' }}>
        <span>in {count(all.objects_in)} objects</span>
        <span>
          {bytes(all.bytes_out)} to clients, in {count(all.objects_out)}
        </span>
      </Tile>
      <Tile name="Refused or failed" value={count(lost)} link={{ to: '/', search: true, hash: 'outcomes' }}>
        <Link to="/policies">{count(all.denied)} refused by a policy</Link>
        <State tone={all.failed > 0 ? 'warn' : 'idle'}>{count(all.failed)} failed</State>
      </Tile>
      <Tile name="Buckets" value={buckets ? count(buckets.total) : 'Not known'} link={{ to: '/buckets' }}>
        <span>{buckets ? `${count(buckets.encrypting)} in which encryption is asked for` : 'The storage does not answer'}</span>
      </Tile>
      <Tile name="KMS" value={kms.active ?? 'None active'} link={{ to: '/kms' }}>
        <State tone={kms.total === 0 || kms.healthy < kms.total ? 'bad' : kms.active ? 'good' : 'warn'}>
          {count(kms.healthy)} of {count(kms.total)} ready
        </State>
        <span>
          {count(kms.calls)} calls, {count(kms.errors)} errors
        </span>
      </Tile>
      <Tile name="Policies" value={policies.revision === null || policies.revision === undefined ? 'None received' : `Revision ${count(policies.revision)}`} link={{ to: '/policies' }}>
        <span>
          {count(policies.applying)} of {count(policies.total)} apply here
        </span>
        {policies.revision !== null && policies.revision !== undefined && (
          <State tone={policies.effective_revision === policies.revision ? 'good' : 'warn'}>{policies.effective_revision === policies.revision ? 'effective' : 'older decisions still at work'}</State>
        )}
      </Tile>
      <Tile name="Central" value={!central.configured ? 'Not set up' : central.connected ? 'Connected' : 'Not connected'} link={{ to: '/', search: true, hash: 'central' }}>
        {central.configured ? (
          <>
            <State tone={central.connected ? 'good' : 'warn'}>
              <span>
                <Lasting since={new Date(central.since_ms).toISOString()} />
              </span>
            </State>
            <span>{plural(central.reports_waiting, 'report')} waiting</span>
          </>
        ) : (
          <span>It works by its switches and floor</span>
        )}
      </Tile>
      <Tile name="Storage requests" value={count(all.upstream_requests)} link={{ to: '/backends' }}>
        <State tone={all.upstream_errors > 0 ? 'warn' : 'good'}>{count(all.upstream_errors)} errors</State>
      </Tile>
    </div>
  );
}
