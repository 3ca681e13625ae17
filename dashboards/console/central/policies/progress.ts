import type { Tone } from '@frame/parts/State';

import type { Convergence, GatewayProgress } from './data';

/** What a person wants to know of a revision's way. */
export interface Progress {
  readonly tone: Tone;
  /** How many have not come to the end. */
  readonly waiting: number;
  /** A part of all gateways, in percent. */
  readonly share: (part: number) => number;
}

/** How far a gateway is with a revision, in a word. */
export function reached(gateway: GatewayProgress): string {
  if (gateway.effective) return 'effective';
  if (gateway.refusal) return 'refused';
  return gateway.applied ? 'applied' : gateway.received ? 'received' : 'not received';
}

/** Why a gateway is where it is with a revision. */
export function howFar(gateway: GatewayProgress): string {
  if (gateway.refusal) return `It refuses it: ${gateway.refusal.reason}`;
  if (gateway.effective) return 'No request is decided by an older revision any more';
  if (gateway.connection !== 'connected') return 'It gets the revision when it connects';
  if (gateway.applied) return 'Writes decided by an older revision are still under way';
  return gateway.received ? 'Received, not applied yet' : 'Not received yet';
}

/** Where a revision stands: refused anywhere is bad, under way or out of reach is a warning, everywhere effective is good. */
export function stateOf({ gateways, effective, refused }: Convergence): Progress {
  const waiting = gateways - effective;
  return {
    tone: refused > 0 ? 'bad' : waiting > 0 ? 'warn' : 'good',
    waiting,
    share: (part) => (gateways === 0 ? 0 : (100 * Math.max(part, 0)) / gateways),
  };
}
