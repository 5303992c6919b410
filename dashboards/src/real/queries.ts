// Runs the queries of panels as Grafana would, and says what is wrong with an answer.

import type { Board, Panel, Query } from '../model.ts';
import { place, queriesOf } from '../model.ts';
import { type Prometheus, RATE_INTERVAL, type Series } from './prometheus.ts';

/** An answer with what was asked. */
export interface Answered {
  query: Query;
  series: Series[];
}

/** A query for one cluster, with Grafana's variables filled in. */
export function filled(expr: string, job: string): string {
  return expr.replaceAll('$job', job).replaceAll('$instance', '.*').replaceAll('$__rate_interval', RATE_INTERVAL);
}

export interface Stretch {
  from: number;
  to: number;
  step: number;
}

/** The answers of every query of a panel. */
export function ask(prometheus: Prometheus, panel: Panel, job: string, { from, to, step }: Stretch): Promise<Answered[]> {
  return Promise.all(
    queriesOf(panel).map(async (query) => ({ query, series: await prometheus.range(filled(query.expr, job), from, to, step) })),
  );
}

/** What is wrong with an answer: nothing there, or no number. What should be quiet must still be there. */
export function fault(panel: Panel, { series }: Answered): string | undefined {
  if (!series.length) return 'no series';
  const numbers = series.flatMap(({ values }) => values.map(([, value]) => Number(value)).filter(Number.isFinite));
  if (!numbers.length) return 'no number';
  const isQuiet = panel.kind !== 'note' && (panel.kind === 'alerts' || panel.quiet);
  if (!isQuiet && numbers.every((number) => number === 0)) return 'nothing but 0, and nobody said that this is good';
  return undefined;
}

/** Every panel of a board that asks something. */
export function asking(board: Board): Panel[] {
  return place(board)
    .panels.map(({ panel }) => panel)
    .filter((panel) => queriesOf(panel).length > 0);
}
