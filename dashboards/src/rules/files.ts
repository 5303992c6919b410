// The rule files as Prometheus reads them.

import { stringify } from 'yaml';

import { ALERTS } from './alerts.ts';
import { recordings } from './objectives.ts';
import type { Pace } from './time.ts';

/** How often rules are evaluated. */
const INTERVAL = '30s';

const head = '# Made by `cargo xtask dashboards`; change dashboards/src/rules and make it anew.\n';

/** Both files by name. `runbooks` is what a runbook's address begins with. */
export function ruleFiles(pace: Pace, runbooks: string): Record<string, string> {
  const interval = pace.faster === 1 ? INTERVAL : '300ms';
  const alerts = ALERTS.map((alert) => ({
    alert: alert.name,
    expr: alert.expr(pace),
    ...(alert.for === '0s' ? {} : { for: pace.of(alert.for) }),
    labels: { severity: alert.severity },
    annotations: {
      summary: alert.summary.da,
      description: alert.description.da,
      summary_en: alert.summary.en,
      description_en: alert.description.en,
      runbook_url: `${runbooks}${alert.name}.md`,
    },
  }));
  const file = (name: string, rules: object[]) => head + stringify({ groups: [{ name, interval, rules }] }, { lineWidth: 0 });
  return {
    'klokke-objectives.yaml': file('klokke-objectives', recordings(pace)),
    'klokke-alerts.yaml': file('klokke-alerts', alerts),
  };
}
