import { count } from '@frame/format';
import { useAskEvery } from '@frame/live';
import { Shown } from '@frame/parts/Note';
import { Panel } from '@frame/parts/Page';
import { State } from '@frame/parts/State';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { waitingQuery } from './data';
import { howFar, stateOf } from './progress';

/** Gateways that are named under the meter. */
const NAMED = 8;

interface Props {
  /** Of these gateways; none: of all. */
  readonly only?: readonly string[];
  /** The gateways stand elsewhere on the page. */
  readonly brief?: boolean;
}

/** How far the newest revision has come, live. */
export function ConvergencePanel({ only = [], brief = false }: Props) {
  const asked = useQuery({ ...waitingQuery(only, brief ? 0 : NAMED), refetchInterval: useAskEvery() });
  const gateways = only.length > 0 ? only.join(',') : undefined;
  return (
    <Panel title={brief ? 'Newest revision' : 'Convergence'} aside={!brief && <Link to="/convergence">Gateway by gateway</Link>}>
      <Shown of={asked} what="convergence" lines={2}>
        {(progress) => {
          const now = stateOf(progress);
          return (
            <>
              <div role="status">
                <State tone={now.tone}>
                  Revision {progress.revision}: {count(progress.effective)} of {count(progress.gateways)} effective
                  {progress.refused > 0 && `, ${count(progress.refused)} refused`}
                  {progress.unreached > 0 && `, ${count(progress.unreached)} not connected`}
                </State>
              </div>
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
              {progress.by_gateway.length > 0 && (
                <ul className="sg-reasons">
                  {progress.by_gateway.map((gateway) => (
                    <li key={gateway.name}>
                      <State tone={gateway.refusal ? 'bad' : gateway.connection === 'connected' ? 'warn' : 'idle'}>
                        <Link to="/gateways/$name" params={{ name: gateway.name }}>
                          {gateway.name}
                        </Link>
                      </State>
                      <p>
                        {howFar(gateway)}
                        {gateway.connection !== 'connected' && ` (${gateway.connection})`}
                      </p>
                    </li>
                  ))}
                  {now.waiting > progress.by_gateway.length && (
                    <li>
                      <Link to="/convergence" search={{ gateways }}>
                        and {count(now.waiting - progress.by_gateway.length)} more
                      </Link>
                    </li>
                  )}
                </ul>
              )}
            </>
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
