// How figures are written: Danish numbers, the unit that fits, and round steps for axes.

import type { Unit } from '../model.ts';

interface Scale {
  size: number;
  name: string;
}

const SECONDS: Scale[] = [
  { size: 1e-6, name: 'µs' },
  { size: 1e-3, name: 'ms' },
  { size: 1, name: 's' },
  { size: 60, name: 'min' },
  { size: 3600, name: 't' },
  { size: 86_400, name: 'døgn' },
];
const BYTES: Scale[] = ['B', 'KiB', 'MiB', 'GiB', 'TiB'].map((name, n) => ({ size: 1024 ** n, name }));
const THINGS: Scale[] = ['', 'tus.', 'mio.'].map((name, n) => ({ size: 1000 ** n, name }));

const SCALES: Record<Unit, { scales: Scale[]; after: string }> = {
  count: { scales: THINGS, after: '' },
  perSecond: { scales: THINGS, after: '/s' },
  seconds: { scales: SECONDS, after: '' },
  age: { scales: SECONDS, after: '' },
  bytes: { scales: BYTES, after: '' },
  bytesPerSecond: { scales: BYTES, after: '/s' },
  ratio: { scales: [{ size: 0.01, name: '%' }], after: '' },
  cores: { scales: [{ size: 1, name: '' }], after: '' },
  level: { scales: [{ size: 1, name: '' }], after: '' },
};

function scaleFor(value: number, unit: Unit): Scale {
  const { scales } = SCALES[unit];
  const first = scales[0]!;
  return scales.reduce((best, scale) => (Math.abs(value) >= scale.size * 0.9995 ? scale : best), first);
}

function number(value: number, decimals: number): string {
  return value.toLocaleString('da-DK', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

const shown = (text: string, scale: Scale, unit: Unit) => {
  const name = `${scale.name}${SCALES[unit].after}`;
  if (!name) return text;
  return name.startsWith('/') ? `${text}${name}` : `${text} ${name}`;
};

/** A value with three figures that count. */
export function written(value: number, unit: Unit): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return shown('0', scaleFor(0, unit).name === 'µs' ? { size: 1, name: 's' } : scaleFor(0, unit), unit);
  const scale = scaleFor(value, unit);
  // 0.8 by 0.01 is 80, whatever the last digit says.
  const scaled = Number((value / scale.size).toPrecision(12));
  const whole = Number.isInteger(scaled) || (unit === 'count' && Number.isInteger(value) && scale.size === 1);
  const decimals = whole ? 0 : Math.abs(scaled) >= 100 ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
  return shown(number(scaled, unit === 'ratio' && !whole ? 2 : decimals), scale, unit);
}

/** From 0 up in round steps, with one unit for the whole axis. */
export function axis(max: number, unit: Unit, count: number): { top: number; ticks: { at: number; text: string }[] } {
  // Where all is 0 the axis still has a size, and one that means something.
  const reach = max > 0 ? (unit === 'count' || unit === 'level' ? Math.max(max, 1) : max) : unit === 'seconds' ? 0.001 : unit === 'ratio' ? 0.01 : 1;
  const scale = scaleFor(reach, unit);
  const bare = reach / scale.size / count;
  const power = 10 ** Math.floor(Math.log10(bare));
  const nice = [1, 2, 2.5, 5, 10].map((step) => step * power);
  let step = nice.find((one) => one >= bare * 0.999) ?? 10 * power;
  // Things are whole.
  if (unit === 'count' && scale.size === 1 && step < 1) step = 1;
  const steps = Math.max(1, Math.ceil(reach / scale.size / step - 0.001));
  const decimals = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9) + (step / power === 2.5 ? 1 : 0)));
  const ticks = Array.from({ length: steps + 1 }, (_, n) => ({
    at: n * step * scale.size,
    text: n === 0 ? '0' : shown(number(n * step, decimals), scale, unit),
  }));
  return { top: steps * step * scale.size, ticks };
}

/** A moment as people read it. */
export function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString('da-DK', { hour: '2-digit', minute: '2-digit', second: '2-digit' }).replaceAll('.', ':');
}

/** Round moments between two, at most so many. */
export function moments(from: number, to: number, count: number): number[] {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((one) => (to - from) / one <= count) ?? 7200;
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, n) => first + n * step);
}
