// The panels that boards are made of, with what they have in common said once.

import type { AlertTable, Figures, Note, PanelText, Query, Unit } from '../model.ts';
import { quantile } from '../promql.ts';

type More = Partial<Pick<Figures, 'thresholds' | 'max' | 'quiet' | 'values'>>;

function figures(kind: Figures['kind']) {
  return (text: PanelText, width: number, unit: Unit, queries: Query[], more: More = {}): Figures => ({
    kind,
    text,
    width,
    unit,
    queries,
    ...more,
  });
}

/** Lines over time. */
export const lines = figures('lines');
/** Areas over time that add up. */
export const stack = figures('stack');
/** The latest value, large. */
export const stat = figures('stat');

export function query(expr: string, legend: string): Query {
  return { expr, legend };
}

/** Median, 95th and 99th percentile of a histogram, added up over nodes. */
export function spread(name: string, matchers = ''): Query[] {
  return [
    query(quantile(0.5, name, '', matchers), 'p50'),
    query(quantile(0.95, name, '', matchers), 'p95'),
    query(quantile(0.99, name, '', matchers), 'p99'),
  ];
}

export function alertTable(text: PanelText, width: number, expr: string): AlertTable {
  return { kind: 'alerts', text, width, queries: [query(expr, '{{alertname}}')] };
}

export function note(text: PanelText, width: number, said: Note['lines']): Note {
  return { kind: 'note', text, width, lines: said };
}
