/** Numbers and times as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** 1234567 → 1,234,567. */
export const count = (value: number): string => whole.format(value);

/** 1234567 → 1.2M; small ones whole. */
export const short = (value: number): string => (Math.abs(value) < 10_000 ? count(value) : compact.format(value));

/** Bytes in binary units: 1536 → 1.5 KiB. */
export function bytes(value: number): string {
  let rest = Math.abs(value);
  let unit = 0;
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  // 1023.96 KiB would read as 1024.0 KiB.
  if (unit > 0 && Number(rest.toFixed(1)) >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 100 ? 0 : 1;
  return `${value < 0 ? '−' : ''}${rest.toFixed(digits)} ${UNITS[unit] ?? ''}`;
}

/** A share of a whole; null where there is no whole. Never 100 % where something is missing, never 0 % where there is some. */
export function share(part: number, all: number): string {
  if (all <= 0) return '–';
  const value = (100 * part) / all;
  if (part >= all) return '100 %';
  if (value > 99.9) return '> 99.9 %';
  if (part > 0 && value < 0.1) return '< 0.1 %';
  return `${value.toFixed(1)} %`;
}

/** One word or several. */
export const plural = (value: number, one: string, many = `${one}s`): string => `${count(value)} ${value === 1 ? one : many}`;

const STEPS: readonly (readonly [number, Intl.RelativeTimeFormatUnit])[] = [
  [60, 'second'],
  [60, 'minute'],
  [24, 'hour'],
  [30, 'day'],
  [12, 'month'],
  [Infinity, 'year'],
];

const relative = new Intl.RelativeTimeFormat('en-US', { numeric: 'always', style: 'long' });

/** 3 minutes ago, in 2 hours; within five seconds: now. */
export function ago(at: number, now: number): string {
  let amount = Math.round((at - now) / 1000);
  if (Math.abs(amount) < 5) return 'just now';
  for (const [size, unit] of STEPS) {
    if (Math.abs(amount) < size) return relative.format(amount, unit);
    amount = Math.trunc(amount / size);
  }
  return relative.format(amount, 'year');
}

/** How long it has been so: for 3 minutes. */
export function lasting(since: number, now: number): string {
  const told = ago(since, now);
  return told.endsWith(' ago') ? `for ${told.slice(0, -' ago'.length)}` : told;
}

/** A span of time: 90 s → 1 min 30 s; the two greatest parts. */
export function span(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor((seconds % 86_400) / 3_600), 'h'],
    [Math.floor((seconds % 3_600) / 60), 'min'],
    [Math.floor(seconds % 60), 's'],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(' ');
}

const exactly = new Intl.DateTimeFormat('en-GB', {
  year: 'numeric',
  month: 'short',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  timeZoneName: 'short',
});

/** A moment to the second, in the reader's time zone, which it names. */
export const exact = (at: number): string => exactly.format(at);

const hours = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const days = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** A moment to the minute, in the reader's time zone: 14:05; with its day where that is not the one of `now`. */
export function hour(at: number, now: number): string {
  const told = hours.format(at);
  return new Date(at).toDateString() === new Date(now).toDateString() ? told : `${days.format(at)}, ${told}`;
}
