// The alerts: few enough to live with. What pages is for somebody to get up for; everything else is a ticket.
//
// Each name is also the name of its runbook, docs/runbooks/NAME.md.

import type { Words } from '../model.ts';
import { OBJECTIVES } from './objectives.ts';
import type { Pace } from './time.ts';

export interface Alert {
  name: string;
  severity: 'page' | 'ticket';
  /** How long it must hold. */
  for: string;
  expr(pace: Pace): string;
  summary: Words;
  description: Words;
}

/** The scrape jobs that are ours: `klokke`, or `klokke-something` where there are several clusters. */
const OURS = 'job=~"klokke.*"';

/** Fewer people than this a window wake nobody: at night one slow phone would be a third of all. */
const WAKING_MIN = 20;

/** A series that is there now and was not before: `increase` does not see its first value. */
const appeared = (series: string, window: string) => `(${series} unless ${series} offset ${window}) > 0`;

const budgetOf = (slo: string) => OBJECTIVES.find((objective) => objective.slo === slo)?.budget ?? 0;

/** Burns the budget of 30 days so fast that 2 % are gone in an hour or 5 % in six; the short window ends it soon after. */
const fast = (slo: string) => () => {
  const ratio = (window: string) => `klokke:slo_error_ratio:${window}{slo="${slo}"}`;
  const both = (long: string, short: string, burn: number) => {
    const bound = Number((burn * budgetOf(slo)).toPrecision(6));
    return `(${ratio(long)} > ${bound} and ${ratio(short)} > ${bound})`;
  };
  return `(${both('1h', '5m', 14.4)} or ${both('6h', '30m', 6)}) and klokke:slo_bad:increase1h{slo="${slo}"} >= ${WAKING_MIN}`;
};

/** 10 % are gone in a day or three: nothing to get up for, but it will not end by itself. */
const slow = () => {
  const parts = OBJECTIVES.map(({ slo, budget }) => {
    const ratio = (window: string) => `klokke:slo_error_ratio:${window}{slo="${slo}"}`;
    const both = (long: string, short: string, burn: number) => {
      const bound = Number((burn * budget).toPrecision(6));
      return `(${ratio(long)} > ${bound} and ${ratio(short)} > ${bound})`;
    };
    return `${both('1d', '2h', 3)} or ${both('3d', '6h', 1)}`;
  });
  return parts.join(' or ');
};

export const ALERTS: Alert[] = [
  {
    name: 'KlokkeDown',
    severity: 'page',
    for: '1m',
    expr: () => `up{${OURS}} == 0`,
    summary: { da: '{{ $labels.instance }} svarer ikke', en: '{{ $labels.instance }} does not answer' },
    description: {
      da: 'Prometheus har ikke kunnet hente tal fra noden i et minut. De, der var på den, kommer ind på de andre; er der ingen andre, er alle ude.',
      en: 'Prometheus could not scrape the node for a minute. Those who were on it come in on the others; when there are none, everybody is out.',
    },
  },
  {
    name: 'KlokkeDeliveryBurn',
    severity: 'page',
    for: '1m',
    expr: fast('delivery'),
    summary: { da: 'Der leveres for sent', en: 'Deliveries are late' },
    description: {
      da: 'Så mange udgivelser er over 250 ms om at blive skrevet, at månedens budget er brugt på under to døgn.',
      en: 'So many publications take more than 250 ms to be written that the month\'s budget is gone in less than two days.',
    },
  },
  {
    name: 'KlokkeConnectBurn',
    severity: 'page',
    for: '1m',
    expr: fast('connect'),
    summary: { da: 'Folk kommer for langsomt ind', en: 'People get in too slowly' },
    description: {
      da: 'Så mange forbindelser er over 1 sekund om at få svar eller bliver bedt om at vente, at månedens budget er brugt på under to døgn.',
      en: 'So many connects take more than a second or are told to wait that the month\'s budget is gone in less than two days.',
    },
  },
  {
    name: 'KlokkeAckBurn',
    severity: 'page',
    for: '1m',
    expr: fast('ack'),
    summary: { da: 'Handlinger besvares for sent eller fejler', en: 'Operations are answered late or fail' },
    description: {
      da: 'Så mange handlinger er over 500 ms om at blive besvaret eller fejler på serveren, at månedens budget er brugt på under to døgn.',
      en: 'So many operations take more than 500 ms or fail in the server that the month\'s budget is gone in less than two days.',
    },
  },
  {
    name: 'KlokkeBudgetBurn',
    severity: 'ticket',
    for: '15m',
    expr: slow,
    summary: { da: 'Budgettet for {{ $labels.slo }} slipper op', en: 'The budget of {{ $labels.slo }} is running out' },
    description: {
      da: 'Det er ikke akut, men fortsætter det, er månedens budget brugt før måneden.',
      en: 'It is not urgent, but if it goes on the month\'s budget is gone before the month.',
    },
  },
  {
    name: 'KlokkeStaffRefused',
    severity: 'page',
    for: '2m',
    expr: (pace) => `sum by (job) (rate(klokke_admission_refused_total{class=~"staff|care"}[${pace.of('5m')}])) > 0.1`,
    summary: { da: 'Personale bliver bedt om at vente', en: 'Staff are told to wait' },
    description: {
      da: 'Personale og fremmøde har deres egen andel og skal altid ind. Nu er den brugt op.',
      en: 'Staff and attendance have a share of their own and must always get in. It is used up.',
    },
  },
  {
    name: 'KlokkeShedding',
    severity: 'ticket',
    for: '5m',
    expr: () => 'klokke_admission_level > 0',
    summary: { da: '{{ $labels.instance }} udskyder arbejde, trin {{ $value }}', en: '{{ $labels.instance }} sheds work, level {{ $value }}' },
    description: {
      da: 'Noden har mere at lave, end den kan nå, og beder nogle om at vente i den fastlagte rækkefølge.',
      en: 'The node has more to do than it can and tells some to wait, in the fixed order.',
    },
  },
  {
    name: 'KlokkeSlowConsumers',
    severity: 'ticket',
    for: '5m',
    expr: (pace) => `sum by (job, instance) (rate(klokke_slow_consumers_total[${pace.of('5m')}])) > 0.2`,
    summary: { da: 'Mange klienter læser for langsomt på {{ $labels.instance }}', en: 'Many clients of {{ $labels.instance }} read too slowly' },
    description: {
      da: 'Forbindelser bliver lukket, fordi deres kø er fuld. De kommer igen og mister intet, men nogen har et dårligt net, eller der sendes for meget.',
      en: 'Connections are closed because their queue is full. They come back and lose nothing, but a network is poor or too much is sent.',
    },
  },
  {
    name: 'KlokkeOutboxStuck',
    severity: 'ticket',
    for: '5m',
    expr: (pace) => `klokke_outbox_oldest_seconds > ${pace.secondsOf('5m')}`,
    summary: { da: 'Noget når ikke frem mellem to enheder ({{ $labels.instance }})', en: 'Something does not get from one unit to another ({{ $labels.instance }})' },
    description: {
      da: 'Den ældste i udbakken har ventet {{ $value | humanizeDuration }}. Intet er tabt; det forsøges igen.',
      en: 'The oldest in the outbox has waited {{ $value | humanizeDuration }}. Nothing is lost; it is tried again.',
    },
  },
  {
    name: 'KlokkeStoreDamaged',
    severity: 'page',
    for: '0s',
    expr: () => 'klokke_store_damage_total > 0',
    summary: { da: 'Lageret på {{ $labels.instance }} er beskadiget', en: 'The store of {{ $labels.instance }} is damaged' },
    description: {
      da: 'Gemte rækker er ikke, som de blev skrevet. De enheder, det rammer, svarer ikke; alle andre kører videre.',
      en: 'Stored rows are not as they were written. The units concerned refuse to serve; all others go on.',
    },
  },
  {
    name: 'KlokkeStoreUnavailable',
    severity: 'page',
    for: '1m',
    expr: (pace) => {
      const errors = 'klokke_store_errors_total{kind=~"unavailable|unknown"}';
      const window = pace.of('5m');
      return `increase(${errors}[${window}]) > 0 or ${appeared(errors, window)}`;
    },
    summary: { da: 'Lageret på {{ $labels.instance }} kan ikke skrive', en: 'The store of {{ $labels.instance }} cannot write' },
    description: {
      da: 'Disken er fuld eller fejler. Intet kvitteret er tabt, men intet nyt kan gemmes, før serveren er startet igen.',
      en: 'The disk is full or fails. Nothing acknowledged is lost, but nothing new is stored until the server is restarted.',
    },
  },
  {
    name: 'KlokkeShardLag',
    severity: 'ticket',
    for: '5m',
    expr: (pace) =>
      `histogram_quantile(0.99, sum by (job, instance, le) (rate(klokke_shard_lag_seconds_bucket[${pace.of('5m')}]))) > 0.25`,
    summary: { da: 'Skiver på {{ $labels.instance }} er bagud', en: 'Shards of {{ $labels.instance }} lag' },
    description: {
      da: 'Ure køres {{ $value | humanizeDuration }} for sent. Alle på skiven venter så længe på alt.',
      en: 'Timers run {{ $value | humanizeDuration }} late. Everybody on the shard waits that long for everything.',
    },
  },
  {
    name: 'KlokkeMemoryHigh',
    severity: 'ticket',
    for: '10m',
    expr: () => 'process_resident_memory_bytes / klokke_memory_limit_bytes > 0.85',
    summary: { da: '{{ $labels.instance }} har snart ikke mere hukommelse', en: '{{ $labels.instance }} is running out of memory' },
    description: {
      da: 'Serveren bruger {{ $value | humanizePercentage }} af det, den må. Ved 100 % slår kernen den ihjel.',
      en: 'The server uses {{ $value | humanizePercentage }} of what it may. At 100 % the kernel kills it.',
    },
  },
  {
    name: 'KlokkeFileHandles',
    severity: 'ticket',
    for: '5m',
    expr: () => `process_open_fds{${OURS}} / process_max_fds{${OURS}} > 0.8`,
    summary: { da: '{{ $labels.instance }} har snart ikke flere fil-håndtag', en: '{{ $labels.instance }} is running out of file handles' },
    description: {
      da: '{{ $value | humanizePercentage }} er brugt. Uden flere kan ingen komme ind.',
      en: '{{ $value | humanizePercentage }} are used. Without any nobody gets in.',
    },
  },
  {
    name: 'KlokkeTokensRefused',
    severity: 'ticket',
    for: '5m',
    expr: (pace) => {
      const bad = `sum by (job) (rate(klokke_tokens_verified_total{outcome=~"invalid|revoked"}[${pace.of('5m')}]))`;
      return `${bad} > 2 and ${bad} > 0.1 * sum by (job) (rate(klokke_tokens_verified_total[${pace.of('5m')}]))`;
    },
    summary: { da: 'Mange tokens afvises', en: 'Many tokens are refused' },
    description: {
      da: '{{ $value | humanize }} i sekundet er ugyldige eller tilbagekaldte: nogen gætter, eller login-tjenesten har skiftet nøgle uden os.',
      en: '{{ $value | humanize }} a second are invalid or revoked: somebody guesses, or the login service changed its key without us.',
    },
  },
  {
    name: 'KlokkeFramesRefused',
    severity: 'ticket',
    for: '5m',
    expr: (pace) => `sum by (job) (rate(klokke_transport_frames_refused_total[${pace.of('5m')}])) > 1`,
    summary: { da: 'Mange ødelagte rammer', en: 'Many broken frames' },
    description: {
      da: '{{ $value | humanize }} i sekundet bryder reglerne: en ødelagt klient, en proxy eller en angriber.',
      en: '{{ $value | humanize }} a second break the rules: a broken client, a proxy or an attacker.',
    },
  },
  {
    name: 'KlokkeKeysetFailing',
    severity: 'ticket',
    for: '5m',
    expr: (pace) => {
      const failed = 'klokke_keyset_fetches_total{outcome="failed"}';
      const window = pace.of('15m');
      return `(increase(${failed}[${window}]) > 0 or ${appeared(failed, window)}) unless on (job, instance) increase(klokke_keyset_fetches_total{outcome="fetched"}[${window}]) > 0`;
    },
    summary: { da: '{{ $labels.instance }} kan ikke hente nøglesættet', en: '{{ $labels.instance }} cannot fetch the key set' },
    description: {
      da: 'De, der er inde, mærker intet. Efter login-tjenestens næste nøgleskift kommer ingen ind.',
      en: 'Those who are in notice nothing. After the login service\'s next change of keys nobody gets in.',
    },
  },
  {
    name: 'KlokkeLogErrors',
    severity: 'ticket',
    for: '0s',
    expr: (pace) => {
      const errors = 'klokke_log_events_total{level="error"}';
      const window = pace.of('15m');
      return `increase(${errors}[${window}]) > 0 or ${appeared(errors, window)}`;
    },
    summary: { da: 'Fejl i loggen på {{ $labels.instance }}', en: 'Errors in the log of {{ $labels.instance }}' },
    description: {
      da: 'En fejl i loggen er til, for at nogen ser på den. Linjen siger hvad.',
      en: 'An error in the log is for somebody to look at. The line says what.',
    },
  },
];
