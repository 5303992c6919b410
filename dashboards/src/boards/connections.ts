// Who is connected, who gets in and how fast, who is kept waiting, who is sent away.

import type { Board } from '../model.ts';
import { quantile, rareBy, rateBy, sumBy } from '../promql.ts';
import { connections as text } from '../text/connections.ts';
import { lines, query, spread, stack } from './kit.ts';

export const connections: Board = {
  uid: 'klokke-connections',
  title: { da: 'Klokke – Forbindelser', en: 'Klokke – Connections' },
  help: {
    da: 'Hvem er inde, hvem kommer ind og hvor hurtigt, hvem venter, og hvem blev sendt væk?',
    en: 'Who is in, who gets in and how fast, who waits, and who was sent away?',
  },
  rows: [
    {
      title: { da: 'Inde', en: 'In' },
      height: 7,
      panels: [
        stack(text.role, 8, 'count', [query(sumBy('role', 'klokke_connections'), '{{role}}')]),
        stack(text.transport, 8, 'count', [query(sumBy('transport', 'klokke_connections'), '{{transport}}')]),
        stack(text.state, 8, 'count', [query(sumBy('state', 'klokke_connections'), '{{state}}')]),
      ],
    },
    {
      height: 6,
      panels: [
        lines(text.users, 8, 'count', [
          query(sumBy('', 'centrifugo_node_num_users'), 'Brugere'),
          query(sumBy('', 'centrifugo_node_num_clients'), 'Forbindelser'),
        ]),
        lines(text.clients, 8, 'count', [query(sumBy('client_name', 'centrifugo_client_connections_inflight'), '{{client_name}}')]),
        lines(text.ping, 8, 'seconds', [
          query(quantile(0.95, 'centrifugo_client_ping_pong_duration_seconds', 'transport'), '{{transport}}'),
        ]),
      ],
    },
    {
      title: { da: 'På vej ind', en: 'On their way in' },
      height: 7,
      panels: [
        lines(text.connects, 6, 'perSecond', [query(rateBy('kind', 'klokke_connects_total'), '{{kind}}')]),
        lines(text.duration, 6, 'seconds', spread('klokke_connect_duration_seconds'), {
          thresholds: [{ at: 1, means: 'wrong' }],
        }),
        lines(text.sockets, 6, 'perSecond', [query(rateBy('listener', 'klokke_transport_sockets_accepted_total'), '{{listener}}')]),
        lines(text.tls, 6, 'perSecond', [query(rateBy('kind', 'klokke_tls_handshakes_total'), '{{kind}}')]),
      ],
    },
    {
      title: { da: 'Venter', en: 'Waiting' },
      height: 7,
      panels: [
        lines(text.waiting, 8, 'count', [query(sumBy('class', 'klokke_admission_waiting'), '{{class}}')], { quiet: true }),
        lines(text.wait, 8, 'seconds', [query(quantile(0.95, 'klokke_admission_wait_seconds', 'class'), '{{class}}')]),
        lines(text.admitted, 8, 'perSecond', [query(rateBy('class', 'klokke_admission_admitted_total'), '{{class}}')]),
      ],
    },
    {
      title: { da: 'Sendt væk', en: 'Sent away' },
      height: 7,
      panels: [
        lines(
          text.shed,
          8,
          'perSecond',
          [query(rareBy('class, reason', 'klokke_admission_refused_total'), '{{class}} {{reason}}')],
          { quiet: true },
        ),
        lines(
          text.refused,
          8,
          'perSecond',
          [query(rareBy('reason', 'klokke_transport_handshakes_refused_total'), '{{reason}}')],
          { quiet: true },
        ),
        lines(
          text.closed,
          8,
          'perSecond',
          [query(rareBy('code', 'centrifugo_client_num_server_disconnects'), '{{code}}')],
          { quiet: true },
        ),
      ],
    },
  ],
};
