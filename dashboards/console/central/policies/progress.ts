import type { Tone } from '@frame/parts/State';

import type { Schemas } from '../api';

type Convergence = Schemas['Convergence'];

/** What a person wants to know of a revision's way. */
export interface Progress {
  readonly tone: Tone;
  /** Not connected, and so not to be reached now. */
  readonly offline: number;
  /** Those that have not come to the end, refusals first. */
  readonly waiting: Convergence['by_gateway'];
  /** A part of all gateways, in percent. */
  readonly share: (part: number) => number;
}

/** Why a gateway is where it is with a revision. */
export function howFar(gateway: Convergence['by_gateway'][number]): string {
  if (gateway.refusal) return `It refuses it: ${gateway.refusal.reason}`;
  if (gateway.effective) return 'No request is decided by an older revision any more';
  if (gateway.connection !== 'connected') return 'It gets the revision when it connects';
  if (gateway.applied) return 'Writes decided by an older revision are still under way';
  return gateway.received ? 'Received, not applied yet' : 'Not received yet';
}

/** Where a revision stands: refused anywhere is bad, under way or out of reach is a warning, everywhere effective is good. */
export function stateOf(progress: Convergence): Progress {
  const waiting = progress.by_gateway
    .filter((gateway) => !gateway.effective)
    .toSorted((a, b) => Number(b.refusal !== null && b.refusal !== undefined) - Number(a.refusal !== null && a.refusal !== undefined));
  const offline = waiting.filter((gateway) => gateway.connection !== 'connected' && !gateway.refusal).length;
  return {
    tone: progress.refused > 0 ? 'bad' : waiting.length > 0 ? 'warn' : 'good',
    offline,
    waiting,
    share: (part) => (progress.gateways === 0 ? 0 : (100 * Math.max(part, 0)) / progress.gateways),
  };
}
