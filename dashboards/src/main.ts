// `node --import tsx src/main.ts`: makes the dashboards and the rules, and checks that they name only what there is.
//
//   --out FOLDER       where they go (dist)
//   --runbooks PREFIX  what the address of a runbook begins with (docs/runbooks/)

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { boards } from './boards/all.ts';
import { boardComplaints, complaints, readCatalogue, withRecordings } from './catalogue.ts';
import { completeness } from './check.ts';
import { grafana } from './grafana.ts';
import { place, queriesOf } from './model.ts';
import { ALERTS } from './rules/alerts.ts';
import { ruleFiles } from './rules/files.ts';
import { recordings } from './rules/objectives.ts';
import { Pace } from './rules/time.ts';

const HERE = join(dirname(fileURLToPath(import.meta.url)), '..');
const DOCS = join(HERE, '../docs');

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(HERE, 'dist') },
    runbooks: { type: 'string', default: 'docs/runbooks/' },
  },
});

const pace = new Pace();
const rules = recordings(pace);
const catalogue = withRecordings(readCatalogue(join(DOCS, 'metrics.md')), rules);
const found = [
  ...boards.flatMap((board) => boardComplaints(board, catalogue)),
  ...rules.flatMap(({ record, expr }) => complaints(record, expr, catalogue)),
  ...ALERTS.flatMap((alert) => complaints(alert.name, alert.expr(pace), catalogue)),
  ...completeness(DOCS, join(HERE, 'rules/tests'), rules),
];
for (const complaint of found) console.error(complaint);
if (found.length) {
  console.error(`${found.length} complaints`);
  process.exit(1);
}

const write = (file: string, text: string) => {
  const path = join(values.out, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};
rmSync(values.out, { recursive: true, force: true });
for (const board of boards) write(`grafana/${board.uid}.json`, `${JSON.stringify(grafana(board, values.runbooks), null, 2)}\n`);
for (const [name, text] of Object.entries(ruleFiles(pace, values.runbooks))) write(`prometheus/${name}`, text);

const panels = boards.flatMap((board) => place(board).panels);
const queries = panels.flatMap(({ panel }) => queriesOf(panel));
console.log(`${boards.length} dashboards, ${panels.length} panels, ${queries.length} queries; ${rules.length} recording rules, ${ALERTS.length} alerts`);
