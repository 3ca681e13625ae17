import { describe, expect, it } from 'vitest';

import { ago, bytes, count, hour, lasting, share, short, span } from './format';

describe('bytes', () => {
  it('have binary units and one digit where it says something', () => {
    expect(bytes(0)).toBe('0 B');
    expect(bytes(1023)).toBe('1023 B');
    expect(bytes(1536)).toBe('1.5 KiB');
    expect(bytes(150 * 1024 ** 2)).toBe('150 MiB');
    expect(bytes(1024 ** 6 * 3)).toBe('3.0 EiB');
  });
  it('never read as 1024 of a unit', () => {
    expect(bytes(1024 ** 2 - 1)).toBe('1.0 MiB');
  });
});

describe('a share', () => {
  it('is whole only where nothing is missing', () => {
    expect(share(10, 10)).toBe('100 %');
    expect(share(999_999, 1_000_000)).toBe('> 99.9 %');
  });
  it('is nothing only where there is nothing', () => {
    expect(share(0, 10)).toBe('0.0 %');
    expect(share(1, 1_000_000)).toBe('< 0.1 %');
    expect(share(0, 0)).toBe('–');
  });
});

describe('counts', () => {
  it('are grouped, and short only when long', () => {
    expect(count(1234567)).toBe('1,234,567');
    expect(short(9_999)).toBe('9,999');
    expect(short(12_345)).toBe('12.3K');
  });
});

describe('times', () => {
  const now = Date.UTC(2026, 0, 2, 12);
  it('are told relative to now, in the past and to come', () => {
    expect(ago(now - 2_000, now)).toBe('just now');
    expect(ago(now - 59_000, now)).toBe('59 seconds ago');
    expect(ago(now - 3 * 60_000, now)).toBe('3 minutes ago');
    expect(ago(now + 26 * 3_600_000, now)).toBe('in 1 day');
    expect(ago(now - 400 * 86_400_000, now)).toBe('1 year ago');
  });
  it('last since a moment', () => {
    expect(lasting(now - 3 * 60_000, now)).toBe('for 3 minutes');
    expect(lasting(now - 1_000, now)).toBe('just now');
  });
  it('are told to the minute, with the day where it is another one', () => {
    const at = new Date(2026, 0, 2, 9, 5).getTime();
    expect(hour(at, at + 3_600_000)).toBe('09:05');
    expect(hour(at, at + 24 * 3_600_000)).toBe('2 Jan, 09:05');
  });
  it('span the two greatest parts', () => {
    expect(span(0)).toBe('0 s');
    expect(span(90)).toBe('1 min 30 s');
    expect(span(90_000)).toBe('1 d 1 h');
    expect(span(3_600)).toBe('1 h');
  });
});
