// What is said reaches whom it concerns: how much, how fast, and what falls behind.

import type { Board } from '../model.ts';
import { quantile, rareBy, rate, rateBy, sumBy } from '../promql.ts';
import { delivery as text } from '../text/delivery.ts';
import { lines, query, spread, stack } from './kit.ts';

export const delivery: Board = {
  uid: 'klokke-delivery',
  title: { da: 'Klokke – Levering', en: 'Klokke – Delivery' },
  help: {
    da: 'Når det, der bliver sagt, frem til dem, det angår? Hvor hurtigt, og hvad sakker bagud?',
    en: 'Does what is said reach whom it concerns? How fast, and what falls behind?',
  },
  rows: [
    {
      title: { da: 'Hvor meget', en: 'How much' },
      height: 7,
      panels: [
        lines(text.published, 8, 'perSecond', [query(rateBy('type', 'centrifugo_node_messages_sent_count'), '{{type}}')]),
        stack(text.deliveries, 8, 'perSecond', [query(rateBy('channel_namespace', 'klokke_deliveries_total'), '{{channel_namespace}}')]),
        lines(text.factor, 8, 'count', [
          query(
            `sum(${rate('klokke_deliveries_total')}) / clamp_min(sum(${rate('centrifugo_node_messages_sent_count', 'type="publication"')}), 0.001)`,
            'Modtagere pr. udgivelse',
          ),
        ]),
      ],
    },
    {
      title: { da: 'Hvor hurtigt', en: 'How fast' },
      height: 7,
      panels: [
        lines(text.write, 6, 'seconds', spread('klokke_publish_to_write_seconds'), { thresholds: [{ at: 0.25, means: 'wrong' }] }),
        lines(text.writeBy, 6, 'seconds', [
          query(quantile(0.99, 'klokke_publish_to_write_seconds', 'channel_namespace'), '{{channel_namespace}}'),
        ], { thresholds: [{ at: 0.25, means: 'wrong' }] }),
        lines(text.broadcast, 6, 'seconds', spread('centrifugo_node_broadcast_duration_seconds', 'type="publication"')),
        lines(text.commands, 6, 'seconds', [
          query(quantile(0.99, 'centrifugo_client_command_duration_seconds_histogram', 'method'), '{{method}}'),
        ]),
      ],
    },
    {
      title: { da: 'Bagud', en: 'Behind' },
      height: 7,
      panels: [
        lines(text.queue, 6, 'bytes', [query(sumBy('', 'klokke_outgoing_queue_bytes'), 'I kø')], { quiet: true }),
        lines(text.slow, 6, 'perSecond', [query(rareBy('transport', 'klokke_slow_consumers_total'), '{{transport}}')], {
          quiet: true,
        }),
        lines(text.recovered, 6, 'perSecond', [query(rateBy('outcome', 'klokke_recoveries_total'), '{{outcome}}')]),
        lines(text.source, 6, 'perSecond', [query(rateBy('source', 'klokke_recoveries_total'), '{{source}}')]),
      ],
    },
    {
      title: { da: 'Hvordan', en: 'How' },
      height: 6,
      panels: [
        lines(text.joined, 6, 'count', [
          query(
            `sum(${rate('klokke_fanout_frames_total')}) / clamp_min(sum(${rate('klokke_fanout_writes_total')}), 0.001)`,
            'Rammer pr. skrivning',
          ),
        ]),
        lines(text.encodings, 6, 'perSecond', [query(rateBy('', 'klokke_fanout_encodings_total'), 'Indkodninger')]),
        lines(text.sent, 6, 'bytesPerSecond', [query(rateBy('transport', 'centrifugo_transport_messages_sent_size'), '{{transport}}')]),
        lines(text.received, 6, 'bytesPerSecond', [
          query(rateBy('transport', 'centrifugo_transport_messages_received_size'), '{{transport}}'),
        ]),
      ],
    },
    {
      height: 6,
      panels: [
        lines(text.subscriptions, 8, 'count', [
          query(sumBy('', 'centrifugo_node_num_subscriptions'), 'Abonnementer'),
          query(sumBy('', 'centrifugo_node_num_channels'), 'Kanaler'),
        ]),
        lines(text.presence, 8, 'count', [query(sumBy('', 'klokke_presence_entries'), 'Tilstedeværende')]),
        lines(
          text.filtered,
          8,
          'perSecond',
          [query(rareBy('channel_namespace', 'centrifugo_node_tags_filter_dropped_publications'), '{{channel_namespace}}')],
          { quiet: true },
        ),
      ],
    },
  ],
};
