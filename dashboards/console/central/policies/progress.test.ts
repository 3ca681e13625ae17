import { expect, it } from 'vitest';

import { stateOf } from './progress';

const gateway = (name: string, effective: boolean, connection: 'connected' | 'lost' = 'connected', refused = false) => ({
  name,
  state: 'active' as const,
  connection,
  received: true,
  applied: effective,
  effective,
  uploads_open: 0,
  refusal: refused ? { code: 'c', item: '', reason: 'r' } : null,
});

const of = (...by_gateway: ReturnType<typeof gateway>[]) => ({
  lineage: 'l',
  revision: 7,
  gateways: by_gateway.length,
  received: by_gateway.length,
  applied: 0,
  effective: by_gateway.filter((one) => one.effective).length,
  refused: by_gateway.filter((one) => one.refusal).length,
  by_gateway,
});

it('is good only where it is effective everywhere', () => {
  expect(stateOf(of(gateway('a', true))).tone).toBe('good');
  expect(stateOf(of(gateway('a', true), gateway('b', false, 'lost'))).tone).toBe('warn');
  expect(stateOf(of(gateway('a', true), gateway('b', false, 'connected', true))).tone).toBe('bad');
});

it('names refusals first, and does not call a refusing gateway offline', () => {
  const now = stateOf(of(gateway('a', false, 'lost'), gateway('b', false, 'lost', true)));
  expect(now.waiting.map((one) => one.name)).toEqual(['b', 'a']);
  expect(now.offline).toBe(1);
});

it('has no share of nothing', () => {
  expect(stateOf(of()).share(0)).toBe(0);
});
