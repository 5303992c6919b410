// One person's window: who they are, whether they are connected, their posts and their messages.

import { compose, type Field } from './compose';
import { el, redraw } from './dom';
import { refusal, type Refused } from './errors';
import { Session } from './session';
import { clock, counted, currentLanguage, text, type Key } from './texts';
import { failure, messageRow, postRow, stepUpBox, threadRow } from './view';
import { isMessage, isPost, isState, type Entry, type Message, type MessageEntry, type Person, type Post, type Screen, type Thread } from './wire';

/** Newest posts kept in a window. */
const POSTS_MAX = 20;
/** The token was not taken; another one is needed. */
const INVALID_TOKEN = 3500;

/** The thread that is read just now. */
interface OpenThread {
  thread: Thread;
  messages: Message[];
  /** Whether a step-up is needed to see it. */
  hidden: boolean;
}

type Send = (values: Record<string, string>) => Promise<void>;

export class Window {
  readonly element = el('section', { class: 'window' });
  readonly #session: Session;
  #state = 'connecting';
  #closedWith: number | undefined;
  #screen: Screen | undefined;
  #open: OpenThread | undefined;
  #error: Refused | undefined;
  /** Until when sensitive content shows in full. */
  #fullUntil = 0;
  /** Forms are kept while the rest is drawn anew, so that nobody loses what they are writing. */
  #forms = new Map<string, HTMLFormElement>();

  constructor(readonly person: Person, readonly onClose: (window: Window) => void) {
    this.#session = new Session(person, {
      state: (state, code) => {
        this.#state = state;
        this.#closedWith = code;
        this.draw();
      },
      fresh: () => this.#do(() => this.#read()),
      entry: (entry) => this.#do(() => this.#take(entry)),
    });
  }

  open(): void {
    this.draw();
    this.#session.connect();
  }

  /** Words change with the language; what is being written stays. */
  relabel(): void {
    const old = [...this.#forms];
    this.#forms.clear();
    this.draw();
    for (const [name, form] of old) carryOver(form, this.#forms.get(name));
    this.#error = undefined;
    this.draw();
  }

  #do(action: () => Promise<void>): void {
    void this.#attempt(action);
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.#error = undefined;
    } catch (problem) {
      this.#error = refusal(problem);
    }
    this.draw();
  }

  async #read(): Promise<void> {
    const { screens } = await this.#session.call<{ screens: Screen[] }>('session.start', {});
    const kept = this.#screen?.person.profile;
    this.#screen = screens.find((screen) => screen.person.profile === kept) ?? screens[0];
    const open = this.#open?.thread;
    if (open) await this.#show(this.#screen?.threads.find(({ id }) => id === open.id) ?? open);
  }

  #profile(): string {
    return this.#screen?.person.profile ?? '';
  }

  async #take(entry: Entry): Promise<void> {
    const screen = this.#screen;
    if (!screen) return;
    if (isMessage(entry)) await this.#takeMessage(screen, entry);
    else if (isPost(entry)) takePost(screen, entry.post);
    else if (isState(entry)) {
      const thread = screen.threads.find(({ id }) => id === entry.thread);
      if (thread) thread.unread = entry.unread;
      screen.badge = entry.badge;
    } else if (entry.type.startsWith('notification')) await this.#recount(screen);
  }

  async #takeMessage(screen: Screen, entry: MessageEntry): Promise<void> {
    const { message } = entry;
    const known = screen.threads.find(({ id }) => id === entry.thread.id);
    if (!known || message.kind !== 'message') {
      // A new thread, or its head changed: the list knows best.
      const page = await this.#session.call<{ threads: Thread[] }>('thread.list', { profile: this.#profile(), limit: 10 });
      screen.threads = page.threads;
    } else if (message.id !== known.last && !message.edited_ms && !message.withdrawn_ms) {
      const own = message.by?.profile === this.#profile();
      Object.assign(known, { last: message.id, last_ms: message.at_ms, unread: known.unread + (own ? 0 : 1) });
      screen.threads = [known, ...screen.threads.filter((thread) => thread !== known)];
    }
    if (this.#open?.thread.id === entry.thread.id) await this.#show(this.#open.thread);
    else await this.#recount(screen);
  }

  async #recount(screen: Screen): Promise<void> {
    const { badge } = await this.#session.call<Pick<Screen, 'badge'>>('badge.get', { profile: this.#profile() });
    screen.badge = badge;
  }

  /** Opens a thread, reads its newest messages and says that they are read. */
  async #show(thread: Thread): Promise<void> {
    const at = { profile: this.#profile(), thread: thread.id };
    const page = await this.#session.call<{ messages: Message[]; step_up_required: boolean }>('message.list', at);
    this.#open = { thread, messages: page.messages.reverse(), hidden: page.step_up_required };
    const last = this.#open.messages.at(-1);
    if (last && !page.step_up_required) {
      await this.#session.call('thread.read', { ...at, message: last.id });
      thread.unread = 0;
    }
    if (this.#screen) await this.#recount(this.#screen);
  }

  async #readOn(screen: Screen, { id }: Post): Promise<void> {
    const { post } = await this.#session.call<{ post: Post }>('post.get', { profile: this.#profile(), post: id });
    takePost(screen, post);
  }

  #stepUp(): void {
    this.#do(async () => {
      this.#fullUntil = await this.#session.stepUp();
      // What was shown in full is read again as a bare signal when the login lapses.
      setTimeout(() => this.#do(() => this.#read()), this.#fullUntil - Date.now() + 1000);
      for (const form of this.#forms.values()) form.querySelector('.error')?.remove();
      await this.#read();
    });
  }

  #close(): void {
    this.#session.close();
    this.onClose(this);
  }

  draw(): void {
    this.element.setAttribute('aria-label', this.person.name);
    redraw(this.element, () => [
      this.#head(),
      this.#error && failure(this.#error, () => this.#stepUp()),
      this.#screen && (this.#open ? this.#thread(this.#open) : this.#lists(this.#screen)),
    ]);
  }

  #head(): HTMLElement {
    const { name, unit_name: unit } = this.person;
    const role = currentLanguage() === 'da' ? this.person.role_da : this.person.role_en;
    const badge = this.#screen?.badge;
    const count = (number: number, key: 'badge.messages' | 'badge.notifications') =>
      el('span', { class: 'badge', 'data-badge': key }, counted(number, key));
    const isFull = this.#fullUntil > Date.now();
    const isEnded = this.#state === 'disconnected' && this.#closedWith !== undefined && this.#closedWith >= 3000;
    return el(
      'header',
      {},
      el('div', {}, el('h2', {}, name), el('p', { class: 'quiet' }, `${role}, ${unit}`)),
      el('button', { class: 'plain', 'aria-label': text('window.close'), 'data-key': 'close', onclick: () => this.#close() }, '×'),
      el('p', { class: `status ${this.#state}`, role: 'status' }, text(`status.${this.#state}` as Key)),
      badge && el('p', { class: 'badges' }, count(badge.messages, 'badge.messages'), count(badge.notifications, 'badge.notifications')),
      isFull && el('p', { class: 'quiet until' }, `${text('sensitive.until')} ${clock(this.#fullUntil)}`),
      isEnded && el('p', { class: 'error', role: 'alert' }, text(this.#closedWith === INVALID_TOKEN ? 'closed.token' : 'closed.other')),
    );
  }

  #lists(screen: Screen): HTMLElement {
    const threads = screen.threads.map((thread) => threadRow(thread, () => this.#do(() => this.#show(thread))));
    const posts = screen.posts.map((post) => postRow(post, () => this.#do(() => this.#readOn(screen, post))));
    return el(
      'div',
      { class: 'lists' },
      el('h3', {}, text('threads.title')),
      threads.length > 0 ? el('ul', { class: 'threads' }, ...threads) : el('p', { class: 'quiet' }, text('threads.none')),
      screen.groups.length > 0 && this.#newThread(screen),
      el('h3', {}, text('posts.title')),
      posts.length > 0 ? el('ul', { class: 'posts' }, ...posts) : el('p', { class: 'quiet' }, text('posts.none')),
      // Pupils do not post; the server would say so.
      screen.groups.length > 0 && screen.kind !== 'pupil' && this.#newPost(screen),
    );
  }

  #newThread(screen: Screen): HTMLElement {
    const parts = screen.kind === 'guardian' || screen.kind === 'pupil' ? (['employee', 'guardian'] as const) : (['guardian', 'employee'] as const);
    const to = screen.groups.flatMap(({ group, name, kind }) => [
      ...(kind === 'class' ? parts : []).map((portal) => ({ value: JSON.stringify({ group_portal: { group, portal } }), label: `${name}, ${text(`threads.${portal}s`)}` })),
      { value: JSON.stringify({ group }), label: `${name}, ${text('threads.everyone')}` },
    ]);
    const fields: Field[] = [
      { name: 'to', label: text('threads.to'), options: to },
      { name: 'subject', label: text('threads.subject') },
      { name: 'text', label: text('threads.text'), long: true },
      ...(screen.kind === 'pupil' ? [] : [{ name: 'sensitive', label: text('threads.sensitive'), check: true }]),
    ];
    return this.#fold('new-thread', 'threads.new', fields, 'threads.send', async (values) => {
      await this.#session.call('thread.create', {
        profile: this.#profile(),
        subject: values['subject'],
        text: values['text'],
        recipients: [JSON.parse(values['to'] ?? '{}')],
        sensitive: values['sensitive'] === 'on',
      });
    });
  }

  #newPost(screen: Screen): HTMLElement {
    const fields: Field[] = [
      { name: 'to', label: text('posts.to'), options: screen.groups.map(({ group, name }) => ({ value: group, label: name })) },
      { name: 'title', label: text('posts.heading') },
      { name: 'body', label: text('posts.body'), long: true },
    ];
    return this.#fold('new-post', 'posts.new', fields, 'posts.publish', async ({ to: group, title, body }) => {
      await this.#session.call('post.publish', { profile: this.#profile(), place: { group }, title, body });
    });
  }

  #fold(name: string, summary: Key, fields: Field[], button: Key, send: Send): HTMLElement {
    const form = this.#form(name, fields, button, async (values) => {
      await send(values);
      form.dataset['open'] = 'no';
    });
    const fold = el('details', { class: 'fold', 'data-form': name }, el('summary', { 'data-key': name }, text(summary)), form);
    fold.open = form.dataset['open'] === 'yes';
    fold.addEventListener('toggle', () => {
      form.dataset['open'] = fold.open ? 'yes' : 'no';
    });
    return fold;
  }

  #form(name: string, fields: Field[], button: Key, send: Send): HTMLFormElement {
    const kept = this.#forms.get(name);
    if (kept) return kept;
    const made = compose(fields, text(button), async (values) => {
      try {
        await send(values);
        this.draw();
        return undefined;
      } catch (problem) {
        return failure(refusal(problem), () => this.#stepUp());
      }
    });
    this.#forms.set(name, made);
    return made;
  }

  #thread({ thread, messages, hidden }: OpenThread): HTMLElement {
    const back = () => {
      this.#open = undefined;
      this.draw();
    };
    const at = { profile: this.#profile(), thread: thread.id };
    const mine = thread.creator?.profile === this.#profile();
    const toSender = thread.replies === 'sender' && !mine;
    const label = text(toSender ? 'threads.reply_sender' : 'threads.reply_all');
    const reply = async (values: Record<string, string>) => {
      await this.#session.call(toSender ? 'message.reply' : 'message.send', { ...at, text: values['text'] });
      await this.#show(thread);
    };
    const withdraw = (said: Message) => () =>
      this.#do(async () => {
        await this.#session.call('message.withdraw', { ...at, message: said.id });
        await this.#show(thread);
      });
    const rows = messages.map((said) => messageRow(said, said.by?.profile === this.#profile() ? withdraw(said) : undefined));
    return el(
      'div',
      { class: 'open' },
      el('button', { class: 'plain', 'data-key': 'back', onclick: back }, `← ${text('threads.back')}`),
      el('h3', {}, thread.subject ?? text('sensitive.subject')),
      el('ol', { class: 'messages' }, ...rows),
      hidden ? stepUpBox(() => this.#stepUp()) : this.#form(`reply-${thread.id}`, [{ name: 'text', label, long: true }], 'threads.send', reply),
    );
  }
}

/** What somebody was writing, into the same form in another language. */
function carryOver(from: HTMLFormElement, into: HTMLFormElement | undefined): void {
  if (!into) return;
  for (const control of from.elements) {
    const other = 'name' in control ? into.elements.namedItem(String(control.name)) : null;
    if (control instanceof HTMLInputElement && other instanceof HTMLInputElement) {
      [other.value, other.checked] = [control.value, control.checked];
    } else if (control instanceof HTMLTextAreaElement && other instanceof HTMLTextAreaElement) other.value = control.value;
    else if (control instanceof HTMLSelectElement && other instanceof HTMLSelectElement) other.selectedIndex = control.selectedIndex;
  }
  into.dataset['open'] = from.dataset['open'];
}

function takePost(screen: Screen, post: Post): void {
  const rest = screen.posts.filter(({ id }) => id !== post.id);
  const isNew = rest.length === screen.posts.length;
  screen.posts = isNew ? [post, ...rest].slice(0, POSTS_MAX) : screen.posts.map((known) => (known.id === post.id ? post : known));
}
