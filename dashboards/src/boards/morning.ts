// The morning overview, one screen: is it holding, for whom not, what to do.

import type { Board } from '../model.ts';
import { orZero, rareBy, rateBy, series, sumBy } from '../promql.ts';
import { morning as text } from '../text/morning.ts';
import { alertTable, lines, note, query, spread, stack, stat } from './kit.ts';

const kept = (slo: string) => `1 - max(klokke:slo_error_ratio:1h{job=~"$job", slo="${slo}"})`;

/** How far work is put off, as docs/overload.md tells it. */
const LEVELS = {
  0: { da: 'Normal', en: 'Normal' },
  1: { da: '1: lister', en: '1: lists' },
  2: { da: '2: opslag', en: '2: posts' },
  3: { da: '3: beskeder', en: '3: messages' },
  4: { da: '4: personale', en: '4: staff' },
};

export const morning: Board = {
  uid: 'klokke-morning',
  title: { da: 'Klokke – Morgenoverblik', en: 'Klokke – Morning overview' },
  help: {
    da: 'Holder det? For hvem ikke? Hvad gør jeg?',
    en: 'Is it holding? For whom not? What to do?',
  },
  rows: [
    {
      height: 3,
      panels: [
        stat(text.down, 4, 'count', [query(orZero('count(up{job=~"$job", instance=~"$instance"} == 0)'), '')], {
          quiet: true,
          thresholds: [{ at: 1, means: 'wrong' }],
        }),
        stat(text.paging, 4, 'count', [query(orZero('count(ALERTS{alertstate="firing", severity="page", job=~"$job"})'), '')], {
          quiet: true,
          thresholds: [{ at: 1, means: 'wrong' }],
        }),
        stat(text.delivered, 4, 'ratio', [query(kept('delivery'), '')], {
          thresholds: [{ at: 0.9995, means: 'watch', below: true }, { at: 0.999, means: 'wrong', below: true }],
        }),
        stat(text.connected, 4, 'ratio', [query(kept('connect'), '')], {
          thresholds: [{ at: 0.9975, means: 'watch', below: true }, { at: 0.995, means: 'wrong', below: true }],
        }),
        stat(text.acked, 4, 'ratio', [query(kept('ack'), '')], {
          thresholds: [{ at: 0.9995, means: 'watch', below: true }, { at: 0.999, means: 'wrong', below: true }],
        }),
        stat(text.level, 4, 'level', [query(`max(${series('klokke_admission_level')})`, '')], {
          quiet: true,
          thresholds: [{ at: 1, means: 'watch' }, { at: 4, means: 'wrong' }],
          values: LEVELS,
        }),
      ],
    },
    {
      height: 7,
      panels: [
        stack(text.open, 8, 'count', [query(sumBy('role', 'klokke_connections'), '{{role}}')]),
        lines(text.connects, 8, 'perSecond', [query(rateBy('role', 'klokke_connects_total'), '{{role}}')]),
        lines(text.refused, 8, 'perSecond', [query(rareBy('class', 'klokke_admission_refused_total'), '{{class}}')], {
          quiet: true,
        }),
      ],
    },
    {
      height: 7,
      panels: [
        lines(text.write, 8, 'seconds', spread('klokke_publish_to_write_seconds'), {
          thresholds: [{ at: 0.25, means: 'wrong' }],
        }),
        lines(text.answer, 8, 'seconds', spread('klokke_operation_duration_seconds'), {
          thresholds: [{ at: 0.5, means: 'wrong' }],
        }),
        lines(text.deliveries, 8, 'perSecond', [query(rateBy('', 'klokke_deliveries_total'), 'Leveringer')]),
      ],
    },
    {
      height: 6,
      panels: [
        alertTable(
          text.alerts,
          8,
          'sum by (alertname, severity) (ALERTS{alertstate="firing", job=~"$job"}) or label_replace(vector(0), "alertname", "–", "", "")',
        ),
        note(text.todo, 8, [
          { text: '**Node nede** → se loggen, genstart; klienterne kommer selv igen', link: 'KlokkeDown' },
          { text: '**Personale afvist** → hæv deres andel, find ud af, hvem der fylder', link: 'KlokkeStaffRefused' },
          { text: '**Begrænsning 1 eller mere** → forældre venter; personale går forud', link: 'KlokkeShedding' },
          { text: '**Leverer for sent** → se Levering: kø, skiver, lager', link: 'KlokkeDeliveryBurn' },
          { text: '**Svarer for sent** → se Hovedbøger og lager: disk', link: 'KlokkeAckBurn' },
          { text: '**Kommer langsomt ind** → se Forbindelser: hvem venter', link: 'KlokkeConnectBurn' },
        ]),
        lines(text.said, 8, 'perSecond', [
          query(rateBy('', 'klokke_messages_total'), 'Beskeder'),
          query(rateBy('', 'klokke_posts_total'), 'Opslag'),
          query(rateBy('', 'klokke_notifications_total'), 'Notifikationer'),
        ]),
      ],
    },
  ],
};
