// Every word the page shows, by key: Danish first, English beside it. Sentences of errors are in errors.ts.

const TEXTS = {
  'app.intro': [
    'Log ind som en eller flere. Skriv i det ene vindue, og se det komme i det andet.',
    'Sign in as one or more. Write in one window, and see it arrive in the other.',
  ],
  'app.people': ['Personer', 'People'],
  'app.other_language': ['English', 'Dansk'],
  'app.no_people': [
    'Der er ingen personer at logge ind som. Start serveren med cargo xtask dev.',
    'There is nobody to sign in as. Start the server with cargo xtask dev.',
  ],
  'window.close': ['Luk vinduet', 'Close the window'],
  'status.connecting': ['Forbinder …', 'Connecting …'],
  'status.connected': ['Forbundet', 'Connected'],
  'status.disconnected': ['Afbrudt', 'Disconnected'],
  'closed.token': ['Loginnet gælder ikke længere. Hent siden igen.', 'The sign-in is no longer valid. Load the page again.'],
  'closed.other': ['Serveren lukkede forbindelsen. Hent siden igen.', 'The server closed the connection. Load the page again.'],
  'badge.messages': ['ulæste tråde', 'unread threads'],
  'badge.messages_one': ['ulæst tråd', 'unread thread'],
  'badge.notifications': ['notifikationer', 'notifications'],
  'badge.notifications_one': ['notifikation', 'notification'],
  'posts.title': ['Opslag', 'Posts'],
  'posts.none': ['Ingen opslag endnu.', 'No posts yet.'],
  'posts.new': ['Nyt opslag', 'New post'],
  'posts.important': ['Vigtigt', 'Important'],
  'posts.withdrawn': ['Opslaget er trukket tilbage.', 'The post was withdrawn.'],
  'posts.more': ['Læs resten', 'Read the rest'],
  'posts.to': ['Til', 'To'],
  'posts.heading': ['Overskrift', 'Title'],
  'posts.body': ['Tekst', 'Text'],
  'posts.publish': ['Slå op', 'Publish'],
  'threads.title': ['Beskeder', 'Messages'],
  'threads.none': ['Ingen beskeder endnu.', 'No messages yet.'],
  'threads.new': ['Ny besked', 'New message'],
  'threads.to': ['Til', 'To'],
  'threads.everyone': ['alle i gruppen', 'everyone in the group'],
  'threads.guardians': ['forældre', 'guardians'],
  'threads.employees': ['personale', 'staff'],
  'threads.subject': ['Emne', 'Subject'],
  'threads.text': ['Besked', 'Message'],
  'threads.sensitive': ['Følsomt indhold', 'Sensitive content'],
  'threads.send': ['Send', 'Send'],
  'threads.reply_all': ['Skriv til alle i tråden', 'Write to everyone in the thread'],
  'threads.reply_sender': ['Svar kun til afsenderen', 'Reply to the sender only'],
  'threads.back': ['Tilbage', 'Back'],
  'threads.unread': ['ulæste', 'unread'],
  'threads.unread_one': ['ulæst', 'unread'],
  'message.withdraw': ['Træk tilbage', 'Withdraw'],
  'message.withdrawn': ['Beskeden er trukket tilbage.', 'The message was withdrawn.'],
  'message.edited': ['rettet', 'edited'],
  'message.participants_added': ['blev tilføjet', 'joined'],
  'message.participant_left': ['forlod tråden', 'left the thread'],
  'message.sensitivity_changed': ['ændrede følsomheden', 'changed the sensitivity'],
  'sensitive.hidden': ['Skjult, følsomt indhold', 'Hidden, sensitive content'],
  'sensitive.why': [
    'Tråden er følsom. Log ind igen med MitID for at læse den og svare.',
    'The thread is sensitive. Sign in again with MitID to read it and reply.',
  ],
  'sensitive.subject': ['Følsom besked', 'Sensitive message'],
  'sensitive.mark': ['Følsom', 'Sensitive'],
  'sensitive.step_up': ['Log ind med MitID', 'Sign in with MitID'],
  'sensitive.until': ['Følsomt indhold vises til kl.', 'Sensitive content shows until'],
  'error.failed': ['Det lykkedes ikke. Prøv igen om lidt.', 'It did not work. Try again shortly.'],
  'error.no_connection': ['Der er ingen forbindelse lige nu. Prøv igen om lidt.', 'There is no connection just now. Try again shortly.'],
} as const;

export type Key = keyof typeof TEXTS;
export type Language = 'da' | 'en';

const KEPT = 'klokke.language';
let language: Language = localStorage.getItem(KEPT) === 'en' ? 'en' : 'da';

export const currentLanguage = (): Language => language;

export function setLanguage(next: Language): void {
  language = next;
  localStorage.setItem(KEPT, next);
  document.documentElement.lang = next;
}

export const text = (key: Key): string => TEXTS[key][language === 'da' ? 0 : 1];

/** How many there are, with the word for one or for more. */
export function counted(count: number, key: 'badge.messages' | 'badge.notifications' | 'threads.unread'): string {
  return `${count} ${text(count === 1 ? `${key}_one` : key)}`;
}

const written = (ms: number, style: Intl.DateTimeFormatOptions): string =>
  new Intl.DateTimeFormat(language === 'da' ? 'da-DK' : 'en-GB', style).format(ms);

/** A point in time as people write it. */
export const time = (ms: number): string => written(ms, { dateStyle: 'short', timeStyle: 'short' });

/** The time of day alone. */
export const clock = (ms: number): string => written(ms, { timeStyle: 'short' });
