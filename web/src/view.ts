// How things look: a person's lists, a thread, a message, a post, a failure. Nothing here asks the server.

import { el } from './dom';
import type { Refused } from './errors';
import { counted, text, time } from './texts';
import type { Message, Post, Thread } from './wire';

export function threadRow(thread: Thread, open: () => void): HTMLElement {
  return el(
    'li',
    {},
    el(
      'button',
      { class: thread.unread > 0 ? 'thread unread' : 'thread', 'data-key': `thread-${thread.id}`, onclick: open },
      el('span', { class: 'subject' }, thread.subject ?? text('sensitive.subject')),
      thread.sensitive && thread.subject && el('span', { class: 'badge sensitive' }, text('sensitive.mark')),
      thread.unread > 0 && el('span', { class: 'badge' }, counted(thread.unread, 'threads.unread')),
      el('span', { class: 'quiet' }, [thread.creator?.name, time(thread.last_ms)].filter(Boolean).join(' · ')),
    ),
  );
}

/** A post; `readOn` fetches the rest of a long one. */
export function postRow(post: Post, readOn: () => void): HTMLElement {
  return el(
    'li',
    { class: 'post' },
    post.important && el('strong', { class: 'important' }, text('posts.important')),
    el('h4', {}, post.title ?? text('posts.withdrawn')),
    post.body && el('p', { class: 'words' }, post.more ? `${post.body} …` : post.body),
    post.more && el('button', { class: 'plain small', 'data-key': `more-${post.id}`, onclick: readOn }, text('posts.more')),
    el('p', { class: 'quiet' }, `${post.by.name} · ${time(post.publish_ms)}`),
  );
}

/** A message; `withdraw` where the reader may take it back. */
export function messageRow(said: Message, withdraw?: () => void): HTMLElement {
  if (said.kind !== 'message') {
    const whom = said.about?.length ? said.about : said.by ? [said.by] : [];
    const names = whom.map(({ name }) => name).join(', ');
    return el('li', { class: 'message event' }, el('p', {}, `${names} ${text(`message.${said.kind}`)} · ${time(said.at_ms)}`));
  }
  const isThere = said.text !== undefined;
  const instead = text(said.step_up_required ? 'sensitive.hidden' : 'message.withdrawn');
  return el(
    'li',
    { class: 'message' },
    el('p', { class: isThere ? 'words' : 'words quiet' }, said.text ?? instead),
    el(
      'p',
      { class: 'quiet' },
      [said.by?.name, time(said.at_ms), said.edited_ms && text('message.edited')].filter(Boolean).join(' · '),
      withdraw && isThere && el('button', { class: 'plain small', 'data-key': `withdraw-${said.id}`, onclick: withdraw }, text('message.withdraw')),
    ),
  );
}

/** What went wrong, as a sentence, and what helps when something does. */
export function failure(refused: Refused, stepUp: () => void): HTMLElement {
  return el(
    'div',
    { class: 'error', role: 'alert' },
    el('p', {}, refused.message),
    refused.needsStepUp && el('button', { type: 'button', onclick: stepUp }, text('sensitive.step_up')),
  );
}

/** In place of what cannot be seen below the level. */
export function stepUpBox(stepUp: () => void): HTMLElement {
  return el(
    'div',
    { class: 'step-up' },
    el('p', {}, text('sensitive.why')),
    el('button', { 'data-key': 'step-up', onclick: stepUp }, text('sensitive.step_up')),
  );
}
