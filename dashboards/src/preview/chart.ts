// One panel of lines or areas: axes from 0, round steps, bounds, and a legend that says which line is which and where it stands.

import type { Figures, Threshold } from '../model.ts';
import { axis, clock, moments, written } from './format.ts';
import { INK, at, fitted, line, rect, text, widthOf } from './svg.ts';

export interface Line {
  name: string;
  colour: string;
  /** By moment. */
  points: Map<number, number>;
}

interface Frame {
  x: number;
  y: number;
  width: number;
  height: number;
}

export const BOUNDS = { watch: '#b26a00', wrong: '#c0242f' } as const;
const LEGEND_LINE = 15;
/** Of a panel's height, the most its legend takes. */
const LEGEND_PART = 0.36;

const last = ({ points }: Line) => [...points.values()].at(-1) ?? Number.NaN;
/** What has no number now comes after what has. */
const weight = (line: Line) => (Number.isFinite(last(line)) ? last(line) : -1);

interface Legend {
  height: number;
  draw(x: number, y: number): string;
}

function legend(lines: Line[], { unit }: Figures, width: number, height: number): Legend {
  const columns = Math.max(1, Math.min(lines.length, Math.floor(width / 150)));
  const rowsMax = Math.max(1, Math.floor((height * LEGEND_PART) / LEGEND_LINE));
  // The largest are named; how many more there are is said.
  const ordered = [...lines].sort((a, b) => weight(b) - weight(a));
  const room = columns * rowsMax;
  const isTooMany = ordered.length > room;
  const named = isTooMany ? ordered.slice(0, room - 1) : lines;
  const rows = Math.ceil((named.length + (isTooMany ? 1 : 0)) / columns);
  const column = width / columns;
  const draw = (x: number, y: number) =>
    [
      ...named.map((one, n) => {
        const left = x + (n % columns) * column;
        const base = y + Math.floor(n / columns) * LEGEND_LINE + 11;
        const value = written(last(one), unit);
        const valueWidth = widthOf(value, 11) + 14;
        return [
          rect(left, base - 7, 10, 4, one.colour, 'none', 2),
          text(left + 15, base, fitted(one.name, 11, column - 18 - valueWidth)),
          text(left + column - 12, base, value, { colour: INK.strong, weight: 600, anchor: 'end' }),
        ].join('');
      }),
      isTooMany
        ? text(x + (named.length % columns) * column + 15, y + (rows - 1) * LEGEND_LINE + 11, `og ${ordered.length - named.length} mindre`, {
            colour: INK.faint,
          })
        : '',
    ].join('');
  return { height: rows * LEGEND_LINE + 4, draw };
}

/** The path of a line, with a gap where there is no number. */
function path(points: [number, number][][]): string {
  return points.map((part) => part.map(([x, y], n) => `${n ? 'L' : 'M'}${at(x)} ${at(y)}`).join('')).join('');
}

function parts(line: Map<number, number>, times: number[], place: (time: number, value: number) => [number, number]): [number, number][][] {
  const all: [number, number][][] = [];
  let part: [number, number][] = [];
  for (const time of times) {
    const value = line.get(time);
    if (value === undefined || !Number.isFinite(value)) {
      if (part.length) all.push(part);
      part = [];
    } else part.push(place(time, value));
  }
  if (part.length) all.push(part);
  return all;
}

/** A bound is drawn where the figures come near it, and said in words always. */
function drawn(bound: Threshold, max: number): boolean {
  return bound.below !== true && max > bound.at * 0.3;
}

export function chart(figures: Figures, lines: Line[], frame: Frame, from: number, to: number): string {
  const times = [...new Set(lines.flatMap(({ points }) => [...points.keys()]))].sort((a, b) => a - b);
  const isStacked = figures.kind === 'stack';
  const sums = times.map((time) => lines.reduce((sum, { points }) => sum + (points.get(time) ?? 0), 0));
  const values = isStacked ? sums : lines.flatMap(({ points }) => [...points.values()]).filter(Number.isFinite);
  const highest = Math.max(0, ...values);
  const bounds = (figures.thresholds ?? []).filter((bound) => drawn(bound, highest));
  const below = legend(lines, figures, frame.width, frame.height);
  const bottom = frame.y + frame.height - below.height - 20;
  const { top, ticks } = axis(Math.max(highest, ...bounds.map((bound) => bound.at * 1.05)), figures.unit, frame.height > 190 ? 4 : 3);
  const left = frame.x + Math.max(24, ...ticks.map((tick) => widthOf(tick.text, 10))) + 6;
  const right = frame.x + frame.width - 8;
  const x = (time: number) => left + ((time - from) / (to - from)) * (right - left);
  const y = (value: number) => bottom - (value / top) * (bottom - frame.y - 6);

  const grid = ticks.map((tick) =>
    [
      line(left, y(tick.at), right, y(tick.at), tick.at === 0 ? INK.line : INK.grid),
      text(left - 5, y(tick.at) + 3.5, tick.text, { size: 10, colour: INK.faint, anchor: 'end' }),
    ].join(''),
  );
  const marks = moments(from, to, Math.max(2, Math.floor((right - left) / 75)))
    .filter((moment) => x(moment) > left + 22 && x(moment) < right - 20)
    .map((moment) =>
      [
        line(x(moment), bottom, x(moment), bottom + 3, INK.line),
        text(x(moment), bottom + 14, clock(moment), { size: 10, colour: INK.faint, anchor: 'middle' }),
      ].join(''),
    );
  const bodies: string[] = [];
  if (isStacked) {
    const base = new Map(times.map((time) => [time, 0]));
    for (const one of lines) {
      const lower = times.map((time): [number, number] => [x(time), y(base.get(time) ?? 0)]);
      for (const time of times) base.set(time, (base.get(time) ?? 0) + (one.points.get(time) ?? 0));
      const upper = times.map((time): [number, number] => [x(time), y(base.get(time) ?? 0)]);
      bodies.push(`<path d="${path([[...upper, ...lower.reverse()]])}Z" fill="${one.colour}" fill-opacity="0.55"/>`);
      bodies.push(`<path d="${path([upper])}" fill="none" stroke="${one.colour}" stroke-width="1.2"/>`);
    }
  } else {
    for (const one of lines) {
      const d = path(parts(one.points, times, (time, value) => [x(time), y(Math.min(value, top))]));
      bodies.push(`<path d="${d}" fill="none" stroke="${one.colour}" stroke-width="1.7" stroke-linejoin="round"/>`);
    }
  }
  const limits = bounds.map((bound) => line(left, y(bound.at), right, y(bound.at), BOUNDS[bound.means], true, 1.2));
  return [...grid, ...marks, ...bodies, ...limits, below.draw(frame.x, bottom + 20)].join('\n');
}

/** The last values as a faint area, behind a large figure. */
export function spark({ points }: Line, frame: Frame, from: number, to: number, colour: string): string {
  const shown = [...points].filter(([, value]) => Number.isFinite(value));
  const values = shown.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (shown.length < 2 || low === high) return '';
  const place = ([time, value]: [number, number]): [number, number] => [
    frame.x + ((time - from) / (to - from)) * frame.width,
    frame.y + frame.height - ((value - low) / (high - low)) * frame.height,
  ];
  return `<path d="${path([shown.map(place)])}" fill="none" stroke="${colour}" stroke-opacity="0.45" stroke-width="1.3"/>`;
}
