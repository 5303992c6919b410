// How much room is left on each node, and what a connection and a delivery cost.

import type { Board } from '../model.ts';
import { rate, rateBy, series, sumBy } from '../promql.ts';
import { capacity as text } from '../text/capacity.ts';
import { lines, query, spread, stack } from './kit.ts';

export const capacity: Board = {
  uid: 'klokke-capacity',
  title: { da: 'Klokke – Kapacitet og vært', en: 'Klokke – Capacity and host' },
  help: {
    da: 'Hvor meget plads er der tilbage på hver node, og hvad koster en forbindelse og en levering?',
    en: 'How much room is left on each node, and what do a connection and a delivery cost?',
  },
  rows: [
    {
      title: { da: 'Processor', en: 'CPU' },
      height: 7,
      panels: [
        lines(text.cpu, 8, 'cores', [
          query(`sum by (instance) (${rate('process_cpu_seconds_total')})`, '{{instance}}'),
          query(`max(${series('klokke_shards')})`, 'Skiver'),
        ]),
        lines(text.lag, 8, 'seconds', spread('klokke_shard_lag_seconds'), { thresholds: [{ at: 0.25, means: 'wrong' }] }),
        lines(text.turn, 8, 'seconds', spread('klokke_shard_turn_duration_seconds')),
      ],
    },
    {
      height: 6,
      panels: [
        lines(text.perDelivery, 8, 'seconds', [
          query(
            `sum(${rate('process_cpu_seconds_total')}) / clamp_min(sum(${rate('klokke_deliveries_total')}), 0.001)`,
            'Pr. levering',
          ),
        ]),
        lines(text.mailbox, 16, 'perSecond', [query(rateBy('', 'klokke_shard_mailbox_full_total'), 'Afvist')], { quiet: true }),
      ],
    },
    {
      title: { da: 'Hukommelse', en: 'Memory' },
      height: 7,
      panels: [
        lines(text.memory, 6, 'bytes', [query(sumBy('instance', 'process_resident_memory_bytes'), '{{instance}}')]),
        lines(text.share, 6, 'ratio', [
          query(`${series('process_resident_memory_bytes')} / ${series('klokke_memory_limit_bytes')}`, '{{instance}}'),
        ], { thresholds: [{ at: 0.85, means: 'wrong' }] }),
        lines(text.perConnection, 6, 'bytes', [
          query(
            `sum(${series('process_resident_memory_bytes')}) / clamp_min(sum(${series('centrifugo_node_num_clients')}), 1)`,
            'Pr. forbindelse',
          ),
        ]),
        stack(text.parts, 6, 'bytes', [query(sumBy('part', 'klokke_shard_memory_bytes'), '{{part}}')]),
      ],
    },
    {
      height: 6,
      panels: [
        lines(text.shards, 12, 'bytes', [query(sumBy('instance, shard', 'klokke_shard_memory_bytes'), '{{instance}} skive {{shard}}')]),
        lines(text.threads, 12, 'count', [query(sumBy('instance', 'process_threads'), '{{instance}}')]),
      ],
    },
    {
      title: { da: 'Vært', en: 'Host' },
      height: 6,
      panels: [
        lines(text.files, 8, 'ratio', [
          query(`${series('process_open_fds')} / ${series('process_max_fds')}`, '{{instance}}'),
        ], { thresholds: [{ at: 0.8, means: 'wrong' }] }),
        lines(text.bytes, 8, 'bytesPerSecond', [
          query(rateBy('', 'centrifugo_transport_messages_sent_size'), 'Ud'),
          query(rateBy('', 'centrifugo_transport_messages_received_size'), 'Ind'),
        ]),
        lines(text.http, 8, 'perSecond', [query(rateBy('status', 'centrifugo_node_incoming_http_requests_total'), '{{status}}')]),
      ],
    },
    {
      height: 5,
      panels: [
        lines(text.uptime, 12, 'age', [query(`time() - ${series('process_start_time_seconds')}`, '{{instance}}')]),
        stack(text.version, 12, 'count', [query(`count by (version) (${series('centrifugo_node_build')})`, '{{version}}')]),
      ],
    },
  ],
};
