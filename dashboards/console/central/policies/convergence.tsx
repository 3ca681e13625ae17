import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Shown } from '@frame/parts/Note';
import { Panel } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { convergenceQuery } from './data';
import { stateOf } from './progress';

/** How far the newest revision has come, live. */
export function ConvergencePanel() {
  const asked = useQuery({ ...convergenceQuery(), refetchInterval: useAskEvery(2_000) });
  return (
    <Panel title="Convergence">
      <Shown of={asked} what="convergence" lines={2}>
        {(progress) => {
          const now = stateOf(progress);
          return (
            <div role="status">
              <State tone={now.tone}>
                Revision {progress.revision}: {count(progress.effective)} of {count(progress.gateways)} effective
                {progress.refused > 0 && `, ${count(progress.refused)} refused`}
                {now.offline > 0 && `, ${count(now.offline)} not connected`}
              </State>
              <div className="sg-meter" style={{ margin: '10px 0' }} aria-hidden>
                <Part share={now.share(progress.effective)} color="--sg-good" />
                <Part share={now.share(progress.applied - progress.effective)} color="--sg-line-1" />
                <Part share={now.share(progress.refused)} color="--sg-bad" />
              </div>
              <ul className="sg-legend">
                <li>Received {count(progress.received)}</li>
                <li>Applied {count(progress.applied)}</li>
                <li>Effective {count(progress.effective)}</li>
              </ul>
              {now.waiting.length > 0 && (
                <ul className="sg-reasons">
                  {now.waiting.slice(0, 20).map((gateway) => (
                    <li key={gateway.name}>
                      <State tone={gateway.refusal ? 'bad' : gateway.connection === 'connected' ? 'warn' : 'idle'}>
                        <Link to="/gateways/$name" params={{ name: gateway.name }}>
                          {gateway.name}
                        </Link>
                      </State>
                      <p>
                        {gateway.refusal
                          ? `refuses it: ${gateway.refusal.reason}`
                          : gateway.connection === 'connected'
                            ? gateway.applied
                              ? 'applied; writes decided by an older revision are still under way'
                              : gateway.received
                                ? 'received, not applied yet'
                                : 'not received yet'
                            : `${gateway.connection}: it gets the revision when it connects`}
                      </p>
                    </li>
                  ))}
                  {now.waiting.length > 20 && <li>and {count(now.waiting.length - 20)} more; see Gateways, behind the newest</li>}
                </ul>
              )}
            </div>
          );
        }}
      </Shown>
    </Panel>
  );
}

/** A part of the meter; one that is nothing takes no place, one that is little is seen. */
function Part({ share, color }: { readonly share: number; readonly color: string }) {
  return share > 0 ? <i style={{ width: `${share}%`, background: `var(${color})` }} /> : null;
}
