// One person's window: who they are, whether they are connected, their posts and their messages.

import { compose, type Field } from './compose';
import { el } from './dom';
import { Refused, Session } from './session';
import { text, time, type Key } from './texts';
import type { Entry, Message, Person, Post, Screen, Thread } from './wire';

/** Newest posts kept in a window. */
const POSTS_MAX = 20;

/** The thread that is read just now. */
interface OpenThread {
  thread: Thread;
  messages: Message[];
  /** Whether a step-up is needed to see it. */
  hidden: boolean;
}

export class Window {
  readonly element = el('section', { class: 'window' });
  readonly #session: Session;
  #state = 'connecting';
  #screen: Screen | undefined;
  #open: OpenThread | undefined;
  #error = '';
  /** Forms are kept while the rest is drawn anew, so that nobody loses what they are writing. */
  #forms = new Map<string, HTMLFormElement>();

  constructor(person: Person, readonly onClose: (window: Window) => void) {
    this.#session = new Session(person, {
      state: (state) => {
        this.#state = state;
        this.draw();
      },
      fresh: () => void this.#attempt(() => this.#read()),
      entry: (entry) => void this.#attempt(() => this.#take(entry)),
    });
    this.draw();
  }

  /** Words change with the language; what is being written stays. */
  relabel(): void {
    this.#forms.clear();
    this.draw();
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.#error = '';
    } catch (failure) {
      this.#error = failure instanceof Refused ? failure.message : text('error.failed');
    }
    this.draw();
  }

  async #read(): Promise<void> {
    const { screens } = await this.#session.call<{ screens: Screen[] }>('session.start', {});
    const kept = this.#screen?.person.profile;
    this.#screen = screens.find((screen) => screen.person.profile === kept) ?? screens[0];
    if (this.#open) await this.#show(this.#open.thread);
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

  async #takeMessage(screen: Screen, entry: Extract<Entry, { type: 'message'; message: Message }>): Promise<void> {
    const { message } = entry;
    const known = screen.threads.find(({ id }) => id === entry.thread.id);
    if (!known || message.kind !== 'message') {
      // A new thread, or its head changed: the list knows best.
      const page = await this.#session.call<{ threads: Thread[] }>('thread.list', { profile: this.#profile(), limit: 10 });
      screen.threads = page.threads;
    } else if (message.id !== known.last && !message.edited_ms && !message.withdrawn_ms) {
      Object.assign(known, { last: message.id, last_ms: message.at_ms, unread: known.unread + 1 });
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
    if (last && !page.step_up_required) await this.#session.call('thread.read', { ...at, message: last.id });
    thread.unread = page.step_up_required ? thread.unread : 0;
    if (this.#screen) await this.#recount(this.#screen);
  }

  async #stepUp(): Promise<void> {
    await this.#session.stepUp();
    await this.#read();
  }

  draw(): void {
    const { name, role, unit } = this.#session.person;
    const badge = this.#screen?.badge;
    const count = (number: number, key: Key) => el('span', { class: 'badge', title: text(key), 'data-badge': key }, `${number} ${text(key)}`);
    this.element.setAttribute('aria-label', name);
    this.element.replaceChildren(
      el(
        'header',
        {},
        el('div', {}, el('h2', {}, name), el('p', { class: 'quiet' }, `${role} · ${unit}`)),
        el('button', { class: 'plain', 'aria-label': text('window.close'), onclick: () => this.#close() }, '×'),
        el('p', { class: `status ${this.#state}`, role: 'status' }, text(`status.${this.#state}` as Key)),
        badge && el('p', { class: 'badges' }, count(badge.messages, 'badge.messages'), count(badge.notifications, 'badge.notifications')),
      ),
      this.#error && el('p', { class: 'error', role: 'alert' }, this.#error),
      this.#screen ? (this.#open ? this.#thread(this.#open) : this.#lists(this.#screen)) : '',
    );
  }

  #close(): void {
    this.#session.close();
    this.onClose(this);
  }

  #lists(screen: Screen): HTMLElement {
    const threads = screen.threads.map((thread) =>
      el(
        'li',
        {},
        el(
          'button',
          { class: thread.unread > 0 ? 'thread unread' : 'thread', onclick: () => void this.#attempt(() => this.#show(thread)) },
          el('span', {}, thread.subject ?? text('sensitive.subject')),
          thread.creator && el('span', { class: 'quiet' }, ` · ${thread.creator.name}`),
          thread.unread > 0 && el('span', { class: 'badge' }, `${thread.unread} ${text('threads.unread')}`),
        ),
      ),
    );
    const posts = screen.posts.map((post) =>
      el(
        'li',
        { class: 'post' },
        post.important && el('strong', { class: 'important' }, text('posts.important')),
        el('h4', {}, post.title ?? text('posts.withdrawn')),
        el('p', {}, post.body ?? ''),
        el('p', { class: 'quiet' }, `${post.by.name} · ${time(post.publish_ms)}`),
      ),
    );
    return el(
      'div',
      { class: 'lists' },
      el('h3', {}, text('threads.title')),
      threads.length > 0 ? el('ul', { class: 'threads' }, ...threads) : el('p', { class: 'quiet' }, text('threads.none')),
      this.#newThread(screen),
      el('h3', {}, text('posts.title')),
      posts.length > 0 ? el('ul', { class: 'posts' }, ...posts) : el('p', { class: 'quiet' }, text('posts.none')),
      this.#newPost(screen),
    );
  }

  #newThread(screen: Screen): HTMLElement | '' {
    if (screen.groups.length === 0) return '';
    const to = screen.groups.flatMap(({ group, name }) => [
      { value: JSON.stringify({ group_portal: { group, portal: 'guardian' } }), label: `${name}, ${text('threads.guardians')}` },
      { value: JSON.stringify({ group }), label: `${name}, ${text('threads.everyone')}` },
    ]);
    const fields: Field[] = [
      { name: 'to', label: text('threads.to'), options: to },
      { name: 'subject', label: text('threads.subject') },
      { name: 'text', label: text('threads.text'), long: true },
      { name: 'sensitive', label: text('threads.sensitive'), check: true },
    ];
    const send = async (values: Record<string, string>) => {
      await this.#session.call('thread.create', {
        profile: this.#profile(),
        subject: values['subject'],
        text: values['text'],
        recipients: [JSON.parse(values['to'] ?? '{}')],
        sensitive: values['sensitive'] === 'on',
      });
    };
    return this.#fold('new-thread', 'threads.new', fields, 'threads.send', send);
  }

  #newPost(screen: Screen): HTMLElement | '' {
    if (screen.groups.length === 0) return '';
    const fields: Field[] = [
      { name: 'to', label: text('posts.to'), options: screen.groups.map(({ group, name }) => ({ value: group, label: name })) },
      { name: 'title', label: text('posts.heading') },
      { name: 'body', label: text('posts.body'), long: true },
    ];
    const publish = async (values: Record<string, string>) => {
      const { to: group, title, body } = values;
      await this.#session.call('post.publish', { profile: this.#profile(), place: { group }, title, body });
    };
    return this.#fold('new-post', 'posts.new', fields, 'posts.publish', publish);
  }

  #fold(name: string, summary: Key, fields: Field[], button: Key, send: (values: Record<string, string>) => Promise<void>): HTMLElement {
    const form = this.#form(name, fields, button, send);
    const fold = el('details', { class: 'fold', 'data-form': name }, el('summary', {}, text(summary)), form);
    fold.open = form.dataset['open'] === 'yes';
    fold.addEventListener('toggle', () => {
      form.dataset['open'] = fold.open ? 'yes' : 'no';
    });
    return fold;
  }

  #form(name: string, fields: Field[], button: Key, send: (values: Record<string, string>) => Promise<void>): HTMLFormElement {
    const kept = this.#forms.get(name);
    if (kept) return kept;
    const made = compose(fields, text(button), (values) =>
      this.#attempt(async () => {
        await send(values);
        this.#forms.delete(name);
      }),
    );
    this.#forms.set(name, made);
    return made;
  }

  #thread({ thread, messages, hidden }: OpenThread): HTMLElement {
    const back = () => {
      this.#open = undefined;
      this.draw();
    };
    const mine = thread.creator?.profile === this.#profile();
    const toSender = thread.replies === 'sender' && !mine;
    const send = async (values: Record<string, string>) => {
      const operation = toSender ? 'message.reply' : 'message.send';
      await this.#session.call(operation, { profile: this.#profile(), thread: thread.id, text: values['text'] });
      await this.#show(thread);
    };
    const label = text(toSender ? 'threads.reply_sender' : 'threads.reply_all');
    return el(
      'div',
      { class: 'open' },
      el('button', { class: 'plain', onclick: back }, `← ${text('threads.back')}`),
      el('h3', {}, thread.subject ?? text('sensitive.subject')),
      el('ol', { class: 'messages', 'aria-live': 'polite' }, ...messages.map(message)),
      hidden
        ? el(
            'p',
            { class: 'step-up' },
            text('sensitive.hidden'),
            el('button', { onclick: () => void this.#attempt(() => this.#stepUp()) }, text('sensitive.step_up')),
          )
        : this.#form(`reply-${thread.id}`, [{ name: 'text', label, long: true }], 'threads.send', send),
    );
  }
}

function message(said: Message): HTMLElement {
  const by = said.by?.name ?? '';
  const words =
    said.kind === 'message'
      ? (said.text ?? text(said.step_up_required ? 'sensitive.hidden' : 'message.withdrawn'))
      : `${(said.about ?? []).map(({ name }) => name).join(', ')} ${text(`message.${said.kind}`)}`;
  const edited = said.edited_ms ? ` · ${text('message.edited')}` : '';
  return el(
    'li',
    { class: said.kind === 'message' ? 'message' : 'message event' },
    el('p', {}, words),
    el('p', { class: 'quiet' }, `${by} · ${time(said.at_ms)}${edited}`),
  );
}

function takePost(screen: Screen, post: Post): void {
  const rest = screen.posts.filter(({ id }) => id !== post.id);
  const isNew = rest.length === screen.posts.length;
  screen.posts = isNew ? [post, ...rest].slice(0, POSTS_MAX) : screen.posts.map((known) => (known.id === post.id ? post : known));
}

const isMessage = (entry: Entry): entry is Extract<Entry, { type: 'message'; message: Message }> => entry.type === 'message';
const isPost = (entry: Entry): entry is Extract<Entry, { type: 'post'; post: Post }> => entry.type === 'post';
const isState = (entry: Entry): entry is Extract<Entry, { type: 'thread.state'; thread: string }> => entry.type === 'thread.state';
