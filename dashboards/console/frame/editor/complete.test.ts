import { describe, expect, it } from 'vitest';

import published from '../../../../crates/policy/schema/governance-policy.schema.json';
import { offers, pathAt, type Schema } from './complete';

const schema = published as unknown as Schema;

const labels = (before: string, line: string) => offers(schema, before.split('\n'), line).map((offer) => offer.label);

describe('completion from the published schema', () => {
  it('offers the fields of the document at its start', () => {
    expect(labels('', '')).toEqual(['apiVersion', 'kind', 'metadata', 'spec']);
  });
  it('offers the fields that are not there yet', () => {
    expect(labels('apiVersion: sealgate.dev/v1\nkind: GovernancePolicy', '')).toEqual(['metadata', 'spec']);
  });
  it('offers the fields of the part that the line stands in', () => {
    expect(labels('metadata:\n  name: a\nspec:\n  mode: enforce', '  pri')).toContain('priority');
    expect(labels('metadata:', '  ')).toEqual(['description', 'name']);
  });
  it('offers the words that a field may have', () => {
    expect(labels('spec:', '  mode: ')).toEqual(['enforce', 'audit', 'disabled']);
    expect(labels('spec:', '  effect: e')).toEqual(['encrypt', 'deny']);
    expect(labels('', 'kind: ')).toEqual(['GovernancePolicy']);
  });
  it('offers nothing inside a text', () => {
    expect(labels('spec:\n  when: >-', '    object.key == ')).toEqual([]);
  });
  it('begins anew at the next document', () => {
    expect(labels('metadata:\n  name: a\n---', '')).toContain('apiVersion');
  });
});

it('finds the fields that a line stands under', () => {
  expect(pathAt(['spec:', '  gateways:', '    region: [a]'], 4)).toEqual(['spec', 'gateways']);
  expect(pathAt(['spec:', '  gateways:', '    region: [a]'], 2)).toEqual(['spec']);
  expect(pathAt(['spec:'], 0)).toEqual([]);
});
