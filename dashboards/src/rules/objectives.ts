// What is promised, as figures, and the recording rules that say how far from it we are.
//
// Bad and total events a second are recorded once per objective; all longer windows are averages of those, so that a window of
// three days costs what one of an hour does. Nothing happening is not a failure: no events, no errors.

import type { Pace } from './time.ts';

export interface Objective {
  /** The value of the label `slo`. */
  slo: string;
  /** The share of events that may be bad, over 30 days. */
  budget: number;
  /** Bad and total events a second over a window, by cluster. */
  bad(window: string): string;
  total(window: string): string;
}

const of = (name: string, window: string, matchers = '') =>
  `sum by (job) (rate(${name}${matchers && `{${matchers}}`}[${window}]))`;

/** What a histogram counted above a bound that is one of its buckets. */
const above = (name: string, bound: string, window: string) =>
  `(${of(`${name}_count`, window)} - ${of(`${name}_bucket`, window, `le="${bound}"`)})`;

/** A part that may not be there: a series that nobody counted yet is none. */
const plus = (part: string, all: string) => `(${part} or ${all} * 0)`;

/** Refusals that were the server's own: busy, unclear, unavailable, damaged, internal. */
const OWN_FAULTS = 'code=~"100|1100|1101|1102|1103"';

/** Who was told to come again: connects, not work. */
const CONNECTS = 'reason=~"queue|wait"';

export const OBJECTIVES: Objective[] = [
  {
    slo: 'delivery',
    budget: 0.001,
    bad: (window) => above('klokke_publish_to_write_seconds', '0.25', window),
    total: (window) => of('klokke_publish_to_write_seconds_count', window),
  },
  {
    slo: 'connect',
    budget: 0.005,
    bad: (window) => {
      const slow = above('klokke_connect_duration_seconds', '1', window);
      return `${slow} + ${plus(of('klokke_admission_refused_total', window, CONNECTS), slow)}`;
    },
    total: (window) => {
      const answered = of('klokke_connect_duration_seconds_count', window);
      return `${answered} + ${plus(of('klokke_admission_refused_total', window, CONNECTS), answered)}`;
    },
  },
  {
    slo: 'ack',
    budget: 0.001,
    bad: (window) => {
      const slow = above('klokke_operation_duration_seconds', '0.5', window);
      return `${slow} + ${plus(of('klokke_operation_refusals_total', window, OWN_FAULTS), slow)}`;
    },
    total: (window) => of('klokke_operation_duration_seconds_count', window),
  },
];

/** The windows that burn rates are looked at over. */
export const WINDOWS = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'];

/** A recording rule. */
export interface Recording {
  record: string;
  expr: string;
  labels?: Record<string, string>;
}

export function recordings(pace: Pace): Recording[] {
  const rules: Recording[] = [];
  for (const { slo, bad, total } of OBJECTIVES) {
    const labels = { slo };
    rules.push({ record: 'klokke:slo_bad:rate5m', expr: bad(pace.of('5m')), labels });
    rules.push({ record: 'klokke:slo_total:rate5m', expr: total(pace.of('5m')), labels });
  }
  for (const window of WINDOWS) {
    const over = (name: string) => `avg_over_time(${name}[${pace.of(window)}])`;
    rules.push({
      record: `klokke:slo_error_ratio:${window}`,
      expr: `${over('klokke:slo_bad:rate5m')} / clamp_min(${over('klokke:slo_total:rate5m')}, 0.000001)`,
    });
  }
  rules.push({
    record: 'klokke:slo_bad:increase1h',
    expr: `avg_over_time(klokke:slo_bad:rate5m[${pace.of('1h')}]) * ${pace.secondsOf('1h')}`,
  });
  return rules;
}
