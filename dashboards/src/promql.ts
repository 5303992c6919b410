// How expressions are written, and what they name: read with Prometheus' own grammar, so that no name escapes the check.

import { parser } from '@prometheus-io/lezer-promql';

/** What every panel selects: the cluster and its nodes, chosen at the top of the dashboard. */
const CHOSEN = 'job=~"$job", instance=~"$instance"';

/** A series of the chosen nodes. */
export function series(name: string, matchers = ''): string {
  return `${name}{${CHOSEN}${matchers ? `, ${matchers}` : ''}}`;
}

/** A second's worth of a counter. */
export function rate(name: string, matchers = ''): string {
  return `rate(${series(name, matchers)}[$__rate_interval])`;
}

/** A counter's rate, summed by labels. */
export function rateBy(by: string, name: string, matchers = ''): string {
  return `sum${by ? ` by (${by})` : ''} (${rate(name, matchers)})`;
}

/** A gauge, summed by labels. */
export function sumBy(by: string, name: string, matchers = ''): string {
  return `sum${by ? ` by (${by})` : ''} (${series(name, matchers)})`;
}

/** A quantile over all nodes: buckets are added first, which a summary would not allow. */
export function quantile(q: number, name: string, by = '', matchers = ''): string {
  const labels = by ? `le, ${by}` : 'le';
  return `histogram_quantile(${q}, sum by (${labels}) (${rate(`${name}_bucket`, matchers)}))`;
}

/** What is 0 when nothing of the kind ever happened: a series that nobody counted is not there. */
export function orZero(expr: string, by = ''): string {
  if (!by) return `${expr} or vector(0)`;
  // The zero stands in only where there is nothing, so that it is no line of its own.
  return `${expr} or label_replace(vector(0), "${by}", "–", "", "") unless on () (${expr})`;
}

/** Counters by a label, of things that should not happen. */
export function rareBy(by: string, name: string): string {
  return orZero(rateBy(by, name), by.split(',')[0]);
}

/** What an expression names. */
export interface Named {
  /** Each metric with the labels that its matchers name. */
  metrics: { name: string; labels: string[] }[];
  /** Labels that are grouped or joined by. */
  grouping: string[];
}

/** Reads an expression; a mistake in it is an error with its place. */
export function named(expr: string): Named {
  // The grammar knows durations, not Grafana's variable for one.
  const text = expr.replaceAll('$__rate_interval', '5m').replaceAll('$__range', '1h');
  const metrics: Named['metrics'] = [];
  const grouping: string[] = [];
  parser.parse(text).iterate({
    enter: (node) => {
      const said = text.slice(node.from, node.to);
      if (node.type.isError) throw new Error(`no expression, at character ${node.from}: ${text}`);
      if (node.name === 'VectorSelector') {
        const labels: string[] = [];
        let name = '';
        node.node.cursor().iterate((inner) => {
          if (inner.name === 'Identifier') name = text.slice(inner.from, inner.to);
          if (inner.name === 'LabelName') labels.push(text.slice(inner.from, inner.to));
        });
        if (!name) throw new Error(`a selector without a metric: ${said}`);
        metrics.push({ name, labels });
        return false;
      }
      if (node.name === 'LabelName') grouping.push(said);
      return true;
    },
  });
  return { metrics, grouping };
}
