// Windows of time, which a test can make shorter: the same expressions, on seconds in place of hours.

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** No window is shorter than this many milliseconds: a rate needs some scrapes inside. */
const WINDOW_MIN_MS = 1_000;

/** How much faster than in life a set of rules runs; 1 in life. */
export class Pace {
  constructor(readonly faster = 1) {}

  /** A duration as Prometheus writes it. */
  of(window: string): string {
    if (this.faster === 1) return window;
    return `${Math.max(WINDOW_MIN_MS, Math.round((seconds(window) * 1000) / this.faster))}ms`;
  }

  /** A duration as a number of seconds inside an expression. */
  secondsOf(window: string): number {
    return seconds(window) / this.faster;
  }
}

export function seconds(window: string): number {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(window) ?? [];
  const size = UNITS[unit ?? ''];
  if (!count || !size) throw new Error(`no duration: ${window}`);
  return Number(count) * size;
}
