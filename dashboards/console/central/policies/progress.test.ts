import { expect, it } from 'vitest';

import type { GatewayProgress } from './data';
import { howFar, reached, stateOf } from './progress';

const of = (gateways: number, effective: number, refused = 0, unreached = 0) => ({
  lineage: 'l',
  revision: 7,
  gateways,
  received: gateways,
  applied: effective,
  effective,
  refused,
  unreached,
  by_gateway: [],
});

const gateway = (change: Partial<GatewayProgress>): GatewayProgress => ({
  name: 'a',
  state: 'active',
  connection: 'connected',
  received: false,
  applied: false,
  effective: false,
  uploads_open: 0,
  refusal: null,
  ...change,
});

it('is good only where it is effective everywhere', () => {
  expect(stateOf(of(1, 1)).tone).toBe('good');
  expect(stateOf(of(2, 1, 0, 1))).toMatchObject({ tone: 'warn', waiting: 1 });
  expect(stateOf(of(2, 1, 1)).tone).toBe('bad');
});

it('says of a gateway how far it is, and why no further', () => {
  expect(reached(gateway({}))).toBe('not received');
  expect(reached(gateway({ received: true, applied: true }))).toBe('applied');
  const refuses = gateway({ connection: 'lost', received: true, refusal: { code: 'c', item: '', reason: 'it is too new' } });
  expect([reached(refuses), howFar(refuses)]).toEqual(['refused', 'It refuses it: it is too new']);
  expect(howFar(gateway({ connection: 'lost' }))).toBe('It gets the revision when it connects');
});

it('has no share of nothing', () => {
  expect(stateOf(of(0, 0)).share(0)).toBe(0);
});
