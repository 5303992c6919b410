// The catalogue of metrics as its page tells it (docs/metrics.md, which `cargo xtask tidy` holds against the code), and the check
// that nothing names a metric or a label that is not in it.

import { readFileSync } from 'node:fs';

import type { Board } from './model.ts';
import { place, queriesOf } from './model.ts';
import { named } from './promql.ts';
import type { Recording } from './rules/objectives.ts';

/** Labels by metric. */
export type Catalogue = Map<string, Set<string>>;

/** What Prometheus adds to every series it scrapes. */
const TARGET = ['job', 'instance'];
/** What the process's own exporter counts; its names are a standard of their own. */
const PROCESS = [
  'process_cpu_seconds_total',
  'process_max_fds',
  'process_open_fds',
  'process_resident_memory_bytes',
  'process_start_time_seconds',
  'process_threads',
  'process_virtual_memory_bytes',
];
/** What Prometheus makes itself, with the labels that are ours to use. */
const OWN: [string, string[]][] = [
  ['up', []],
  ['ALERTS', ['alertname', 'alertstate', 'severity']],
];

export function readCatalogue(page: string): Catalogue {
  const catalogue: Catalogue = new Map(OWN.map(([name, labels]) => [name, new Set([...labels, ...TARGET])]));
  for (const name of PROCESS) catalogue.set(name, new Set(TARGET));
  for (const line of readFileSync(page, 'utf8').split('\n')) {
    const [, name, kind, labels] = /^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*)\|/.exec(line) ?? [];
    if (!name || !kind || labels === undefined) continue;
    const all = new Set([...labels.split(',').map((label) => label.trim()).filter(Boolean), ...TARGET]);
    if (kind === 'histogram') {
      catalogue.set(`${name}_bucket`, new Set([...all, 'le']));
      catalogue.set(`${name}_sum`, all);
      catalogue.set(`${name}_count`, all);
    } else {
      catalogue.set(name, all);
    }
  }
  return catalogue;
}

/** Adds what the recording rules make: it has the labels that they keep. */
export function withRecordings(catalogue: Catalogue, recordings: Recording[]): Catalogue {
  const all = new Map(catalogue);
  for (const { record } of recordings) all.set(record, new Set(['slo', 'job']));
  return all;
}

/** What is wrong with an expression, as sentences. */
export function complaints(where: string, expr: string, catalogue: Catalogue): string[] {
  const { metrics, grouping } = named(expr);
  const found: string[] = [];
  const known = new Set<string>();
  // A label that the expression makes itself.
  for (const [, made] of expr.matchAll(/label_replace\([^"]*"(\w+)"/g)) if (made) known.add(made);
  for (const { name, labels } of metrics) {
    const has = catalogue.get(name);
    if (!has) {
      found.push(`${where}: no metric ${name} in docs/metrics.md`);
      continue;
    }
    for (const label of has) known.add(label);
    for (const label of labels) if (!has.has(label)) found.push(`${where}: ${name} has no label ${label}`);
  }
  for (const label of grouping) if (!known.has(label)) found.push(`${where}: groups by ${label}, which none of its metrics has`);
  return found;
}

/** The labels that a legend shows must survive the query's aggregation. */
function legendComplaints(where: string, expr: string, legend: string): string[] {
  const shown = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
  const { grouping } = named(expr);
  if (!grouping.length) return [];
  return shown.filter((label) => label && !grouping.includes(label)).map((label) => `${where}: the legend shows ${label}, which is summed away`);
}

export function boardComplaints(board: Board, catalogue: Catalogue): string[] {
  return place(board).panels.flatMap(({ panel }) =>
    queriesOf(panel).flatMap(({ expr, legend }) => {
      const where = `${board.uid}, ${panel.text.en}`;
      return [...complaints(where, expr, catalogue), ...legendComplaints(where, expr, legend)];
    }),
  );
}
