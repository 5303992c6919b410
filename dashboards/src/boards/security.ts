// Who tries what they may not, and whether the keys that tell them apart still work.

import type { Board } from '../model.ts';
import { rareBy, rateBy } from '../promql.ts';
import { security as text } from '../text/security.ts';
import { lines, query } from './kit.ts';

export const security: Board = {
  uid: 'klokke-security',
  title: { da: 'Klokke – Sikkerhed', en: 'Klokke – Security' },
  help: {
    da: 'Hvem prøver det, de ikke må, og virker nøglerne, der skiller dem ad?',
    en: 'Who tries what they may not, and do the keys that tell them apart still work?',
  },
  rows: [
    {
      title: { da: 'Hvem er du?', en: 'Who are you?' },
      height: 7,
      panels: [
        lines(text.tokens, 8, 'perSecond', [query(rateBy('outcome', 'klokke_tokens_verified_total'), '{{outcome}}')]),
        lines(text.verdicts, 8, 'perSecond', [query(rateBy('source', 'klokke_token_verdicts_total'), '{{source}}')]),
        lines(text.keys, 8, 'perSecond', [query(rareBy('outcome', 'klokke_keyset_fetches_total'), '{{outcome}}')], {
          quiet: true,
        }),
      ],
    },
    {
      title: { da: 'I døren', en: 'At the door' },
      height: 7,
      panels: [
        lines(text.door, 8, 'perSecond', [query(rareBy('reason', 'klokke_transport_handshakes_refused_total'), '{{reason}}')], {
          quiet: true,
        }),
        lines(text.frames, 8, 'perSecond', [query(rareBy('reason', 'klokke_transport_frames_refused_total'), '{{reason}}')], {
          quiet: true,
        }),
        lines(text.http, 8, 'perSecond', [query(rareBy('reason', 'klokke_http_requests_refused_total'), '{{reason}}')], {
          quiet: true,
        }),
      ],
    },
    {
      title: { da: 'Må du det?', en: 'May you?' },
      height: 7,
      panels: [
        lines(text.denied, 8, 'perSecond', [query(rareBy('reason', 'klokke_rights_denied_total'), '{{reason}}')], { quiet: true }),
        lines(text.stepUp, 8, 'perSecond', [query(rateBy('', 'klokke_step_up_required_total'), 'Kræver nyt login')], { quiet: true }),
        lines(text.refusals, 8, 'perSecond', [query(rareBy('code', 'klokke_operation_refusals_total'), '{{code}}')], {
          quiet: true,
        }),
      ],
    },
    {
      height: 7,
      panels: [
        lines(text.replies, 8, 'perSecond', [query(rareBy('code', 'centrifugo_client_num_reply_errors'), '{{code}}')], {
          quiet: true,
        }),
        lines(text.entitled, 8, 'perSecond', [query(rareBy('change', 'klokke_entitlements_changed_total'), '{{change}}')], {
          quiet: true,
        }),
        lines(
          text.unsubscribed,
          8,
          'perSecond',
          [query(rareBy('code', 'centrifugo_client_num_server_unsubscribes'), '{{code}}')],
          { quiet: true },
        ),
      ],
    },
    {
      title: { da: 'Andet', en: 'Besides' },
      height: 6,
      panels: [
        lines(text.api, 12, 'perSecond', [query(rareBy('method', 'centrifugo_api_command_errors_total'), '{{method}}')], {
          quiet: true,
        }),
        lines(text.log, 12, 'perSecond', [query(rareBy('level', 'klokke_log_events_total'), '{{level}}')], { quiet: true }),
      ],
    },
  ],
};
