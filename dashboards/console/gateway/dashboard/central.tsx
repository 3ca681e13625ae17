import { Stack } from '@mantine/core';
import { bytes, count, span } from '@frame/format';
import { Note } from '@frame/parts/Note';
import { Pairs, Panel } from '@frame/parts/Page';
import { Labels, State } from '@frame/parts/State';
import { Lasting, Time } from '@frame/parts/Time';

import type { Schemas } from '../api';

const moment = (ms: number | null | undefined): string | null => (ms === null || ms === undefined ? null : new Date(ms).toISOString());

/** How things stand between this gateway and Central. */
export function CentralLink({ of }: { readonly of: Schemas['Status'] }) {
  if (!of.configured) {
    return (
      <Panel title="Link to Central">This gateway is not set up for Central. It works by its own switches and floor. The section central of its configuration file names one.</Panel>
    );
  }
  return (
    <Panel title="Link to Central">
      <Stack gap="sm">
        {of.quarantined && (
          <Note tone="bad" title="Central takes this gateway for a copy of itself">
            Its reports are kept aside until an administrator of Central has settled it.
          </Note>
        )}
        {of.refusal && (
          <Note tone="bad" title={`Revision ${count(of.refusal.revision)} of the policies is not applied`}>
            {`${of.refusal.item === '' ? '' : `${of.refusal.item}: `}${of.refusal.reason} The revision before is in force.`}
          </Note>
        )}
        {of.error && (
          <Note tone="warn" title="What went wrong last">
            <p>
              {of.error.message} (<Time at={moment(of.error.at_ms)} />)
            </p>
          </Note>
        )}
        {of.renewal_error && (
          <Note tone="warn" title="The certificate is not renewed">
            <p>
              {of.renewal_error.message} (<Time at={moment(of.renewal_error.at_ms)} />)
            </p>
          </Note>
        )}
        {of.journal_failing && (
          <Note tone="bad" title="The disk refuses the journal of the statistics">
            What is counted meanwhile would not survive a kill. Look at the disk of the local store.
          </Note>
        )}
        <Pairs
          of={[
            [
              'Connection',
              <State key="connection" tone={of.connected ? 'good' : 'warn'}>
                <span>
                  {of.connected ? 'connected' : 'not connected'} <Lasting since={new Date(of.since_ms).toISOString()} />
                  {!of.connected && '; it works on by the last policies'}
                </span>
              </State>,
            ],
            ['Name', of.name ?? 'not enrolled yet'],
            ['Labels', <Labels key="labels" of={of.labels} />],
            ['Address', of.address ? <code key="address">{of.address}</code> : '–'],
            ['Certificate', of.certificate_until_ms === null || of.certificate_until_ms === undefined ? 'none yet' : <span key="certificate">expires <Time at={moment(of.certificate_until_ms)} /></span>],
            ['Policies', of.revision === null || of.revision === undefined ? 'none received' : `revision ${count(of.revision)}${of.effective_revision === of.revision ? ', effective' : ', older decisions still at work'}`],
            ['Last report', <Time key="reported" at={moment(of.reported_ms)} />],
            ['Reports waiting', `${count(of.reports_waiting)} (${bytes(of.spool_bytes)})`],
            ...(of.uploads_from_before > 0 ? [['Uploads begun under older policies', count(of.uploads_from_before)] as const] : []),
            ...(of.gap_ms > 0 ? [['Time without statistics', `${span(Math.ceil(of.gap_ms / 1000))}, after losses of power`] as const] : []),
          ]}
        />
      </Stack>
    </Panel>
  );
}
