// Whether what belongs together is there: a runbook for each alert, a unit test for each rule, a page behind each link.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { ALERTS } from './rules/alerts.ts';
import type { Recording } from './rules/objectives.ts';

/** What every runbook answers, in this order. */
const ANSWERS = ['What it means', 'For whom', 'How to see it', 'What to do', 'How to know it is over'];

function runbook(file: string): string[] {
  if (!existsSync(file)) return [`${file}: is not there`];
  const text = readFileSync(file, 'utf8');
  const headings = [...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  const found = headings.join() === ANSWERS.join() ? [] : [`${file}: does not answer, in this order: ${ANSWERS.join(', ')}`];
  return [...found, ...links(file)];
}

/** Links to other files of the repository that lead nowhere. */
export function links(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)]
    .map(([, to]) => to ?? '')
    .filter((to) => to && !/^[a-z]+:/.test(to) && !existsSync(join(dirname(file), to)))
    .map((to) => `${file}: links to ${to}, which is not there`);
}

/** Complaints about runbooks, the operators' page and the rules' unit tests. */
export function completeness(docs: string, tests: string, recordings: Recording[]): string[] {
  const all = readdirSync(tests).map((file) => readFileSync(join(tests, file), 'utf8')).join('\n');
  const page = readFileSync(join(docs, 'operating.md'), 'utf8');
  const names = new Set(ALERTS.map(({ name }) => name));
  const strays = readdirSync(join(docs, 'runbooks')).filter((file) => !names.has(file.replace(/\.md$/, '')));
  return [
    ...ALERTS.flatMap(({ name }) => runbook(join(docs, 'runbooks', `${name}.md`))),
    ...strays.map((file) => `docs/runbooks/${file}: no alert has this name`),
    ...ALERTS.filter(({ name }) => !page.includes(`](runbooks/${name}.md)`)).map(({ name }) => `docs/operating.md: does not name ${name}`),
    ...links(join(docs, 'operating.md')),
    ...ALERTS.flatMap(({ name }) => [
      ...(new RegExp(`alertname="${name}"[^}]*\\}[\\s\\S]{0,120}value: 1|alertname: ${name}\\s+exp_alerts:\\s+-`).test(all) ? [] : [`${name}: no unit test makes it fire`]),
      ...(new RegExp(`alertname[=:] ?"?${name}"?[^\\n]*(exp_samples|exp_alerts): \\[\\]`).test(all) ? [] : [`${name}: no unit test keeps it silent`]),
    ]),
    ...recordings.filter(({ record }) => !all.includes(record)).map(({ record }) => `${record}: has no unit test`),
  ];
}
