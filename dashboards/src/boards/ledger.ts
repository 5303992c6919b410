// Is what was acknowledged durable, how long does that take, and is anything stuck or damaged?

import type { Board } from '../model.ts';
import { quantile, rareBy, rate, rateBy, series, sumBy } from '../promql.ts';
import { ledger as text } from '../text/ledger.ts';
import { lines, query, spread, stat } from './kit.ts';

const mean = (name: string) => `sum(${rate(`${name}_sum`)}) / clamp_min(sum(${rate(`${name}_count`)}), 0.001)`;

export const ledger: Board = {
  uid: 'klokke-ledger',
  title: { da: 'Klokke – Hovedbøger og lager', en: 'Klokke – Ledger and store' },
  help: {
    da: 'Er det, der er kvitteret, gemt? Hvor længe tager det, og er noget kørt fast eller beskadiget?',
    en: 'Is what was acknowledged stored? How long does it take, and is anything stuck or damaged?',
  },
  rows: [
    {
      height: 4,
      panels: [
        stat(text.damage, 6, 'count', [query(sumBy('', 'klokke_store_damage_total'), '')], {
          quiet: true,
          thresholds: [{ at: 1, means: 'wrong' }],
        }),
        stat(text.oldest, 6, 'age', [query(`max(${series('klokke_outbox_oldest_seconds')})`, '')], {
          quiet: true,
          thresholds: [{ at: 60, means: 'watch' }, { at: 300, means: 'wrong' }],
        }),
        stat(text.pending, 6, 'count', [query(sumBy('', 'klokke_outbox_pending'), '')], { quiet: true }),
        stat(text.loaded, 6, 'count', [query(sumBy('', 'klokke_ledgers_loaded'), '')]),
      ],
    },
    {
      title: { da: 'Hovedbøger', en: 'Ledgers' },
      height: 7,
      panels: [
        lines(text.commits, 6, 'perSecond', [query(rateBy('kind', 'klokke_ledger_commits_total'), '{{kind}}')]),
        lines(text.commit, 6, 'seconds', spread('klokke_ledger_commit_duration_seconds')),
        lines(text.call, 6, 'seconds', spread('klokke_ledger_call_duration_seconds')),
        lines(text.entries, 6, 'count', [
          query(
            `sum(${rate('klokke_ledger_entries_total')}) / clamp_min(sum(${rate('klokke_ledger_commits_total')}), 0.001)`,
            'Poster pr. commit',
          ),
        ]),
      ],
    },
    {
      height: 6,
      panels: [
        lines(text.group, 6, 'count', [query(mean('klokke_ledger_group_size'), 'Kald pr. commit')]),
        lines(text.conflicts, 6, 'perSecond', [
          query(rateBy('', 'klokke_ledger_conflicts_total'), 'Konflikter'),
          query(rateBy('', 'klokke_ledger_read_backs_total'), 'Genlæsninger'),
        ], { quiet: true }),
        lines(text.full, 6, 'perSecond', [query(rateBy('', 'klokke_ledger_mailbox_full_total'), 'Fuld')], { quiet: true }),
        lines(text.replays, 6, 'perSecond', [query(rateBy('', 'klokke_ledger_replayed_calls_total'), 'Gentaget')], { quiet: true }),
      ],
    },
    {
      title: { da: 'Lager', en: 'Store' },
      height: 7,
      panels: [
        lines(text.store, 6, 'seconds', spread('klokke_store_commit_duration_seconds'), { thresholds: [{ at: 0.1, means: 'watch' }] }),
        lines(text.batch, 6, 'count', [query(mean('klokke_store_commits_per_write'), 'Commits pr. skrivning')]),
        lines(text.read, 6, 'seconds', [query(quantile(0.99, 'klokke_store_read_duration_seconds', 'kind'), '{{kind}}')]),
        lines(text.errors, 6, 'perSecond', [query(rareBy('kind', 'klokke_store_errors_total'), '{{kind}}')], { quiet: true }),
      ],
    },
    {
      title: { da: 'Mellem hovedbøger', en: 'Between ledgers' },
      height: 6,
      panels: [
        lines(text.outbox, 12, 'perSecond', [query(rateBy('outcome', 'klokke_outbox_deliveries_total'), '{{outcome}}')]),
        lines({ ...text.oldest, da: 'Udbakke, ældste over tid', en: 'Outbox, oldest over time' }, 12, 'age', [
          query(`max by (instance) (${series('klokke_outbox_oldest_seconds')})`, '{{instance}}'),
        ], { quiet: true, thresholds: [{ at: 300, means: 'wrong' }] }),
      ],
    },
  ],
};
