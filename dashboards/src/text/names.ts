// Names of label values and common words, as operators read them. The rest of the words stand one file a board beside this.

import type { PanelText, Words } from '../model.ts';

/** A panel's words: Danish title, English title, and what it means in both. */
export function words(da: string, en: string, helpDa: string, helpEn: string): PanelText {
  return { da, en, help: { da: helpDa, en: helpEn } };
}

/** Label values that have a Danish name; all others are shown as they are. */
export const NAMES: Record<string, Words> = {
  staff: { da: 'Personale', en: 'Staff' },
  guardian: { da: 'Forældre', en: 'Guardians' },
  pupil: { da: 'Elever', en: 'Pupils' },
  other: { da: 'Andre', en: 'Others' },
  care: { da: 'Fremmøde', en: 'Attendance' },
  messages: { da: 'Beskeder', en: 'Messages' },
  posts: { da: 'Opslag', en: 'Posts' },
  lists: { da: 'Lister', en: 'Lists' },
  queue: { da: 'kø fuld', en: 'queue full' },
  wait: { da: 'ventede for længe', en: 'waited too long' },
  level: { da: 'noden bagud', en: 'node behind' },
  ledger: { da: 'enheden bagud', en: 'unit behind' },
  '–': { da: 'Ingen', en: 'None' },
  anonymous: { da: 'Uden navn', en: 'Anonymous' },
  open: { da: 'Åben', en: 'Open' },
  opening: { da: 'Ved at åbne', en: 'Opening' },
  lagging: { da: 'Bagud', en: 'Lagging' },
  new: { da: 'Ny', en: 'New' },
  resumed: { da: 'Genoptaget', en: 'Resumed' },
  full: { da: 'Fuld', en: 'Full' },
  complete: { da: 'Hel', en: 'Complete' },
  incomplete: { da: 'Ufuldstændig', en: 'Incomplete' },
  failed: { da: 'Fejlet', en: 'Failed' },
  memory: { da: 'Hukommelse', en: 'Memory' },
  store: { da: 'Lager', en: 'Store' },
  none: { da: 'Ingen', en: 'None' },
  domain: { da: 'Enheder', en: 'Units' },
  channel: { da: 'Kanaler', en: 'Channels' },
  delivered: { da: 'Leveret', en: 'Delivered' },
  refused: { da: 'Afvist', en: 'Refused' },
  publication: { da: 'Udgivelse', en: 'Publication' },
  join: { da: 'Kommer', en: 'Join' },
  leave: { da: 'Går', en: 'Leave' },
  sessions: { da: 'Sessioner', en: 'Sessions' },
  recent: { da: 'Seneste', en: 'Recent' },
  rosters: { da: 'Medlemslister', en: 'Rosters' },
  queues: { da: 'Køer', en: 'Queues' },
  accepted: { da: 'Godkendt', en: 'Accepted' },
  expired: { da: 'Udløbet', en: 'Expired' },
  invalid: { da: 'Ugyldig', en: 'Invalid' },
  revoked: { da: 'Tilbagekaldt', en: 'Revoked' },
  unavailable: { da: 'Utilgængelig', en: 'Unavailable' },
  checked: { da: 'Kontrolleret', en: 'Checked' },
  remembered: { da: 'Husket', en: 'Remembered' },
  fetched: { da: 'Hentet', en: 'Fetched' },
  delivery: { da: 'Levering', en: 'Delivery' },
  connect: { da: 'Forbindelse', en: 'Connect' },
  ack: { da: 'Svar', en: 'Acknowledgement' },
  error: { da: 'Fejl', en: 'Error' },
  warn: { da: 'Advarsel', en: 'Warning' },
};

/** Labels whose values are translated; names that somebody configured, and codes, stay as they are. */
const TRANSLATED = ['role', 'state', 'kind', 'class', 'outcome', 'source', 'part', 'type', 'change', 'level', 'reason'];

/** Whether a legend shows one such label and nothing else. */
export const isTranslated = (legend: string): boolean => TRANSLATED.some((label) => legend === `{{${label}}}`);

/** A label value as an operator reads it. */
export const nameOf = (value: string): string => NAMES[value]?.da ?? value;

/** The order of those that have a name; others come after. */
export const orderOf = (value: string): number => {
  const at = Object.keys(NAMES).indexOf(value);
  return at < 0 ? Number.MAX_SAFE_INTEGER : at;
};
