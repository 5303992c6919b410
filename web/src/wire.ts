// What the page knows of the server's operations and entries. The whole description is at /openapi.json.

export interface Person {
  /** The login. */
  subject: string;
  role: 'teacher' | 'leader' | 'parent' | 'pupil';
  role_da: string;
  role_en: string;
  name: string;
  unit_name: string;
  token: string;
  /** A token of the same person after a strong login just now, for the step-up prompt. */
  step_up_token: string;
}

/** The invented people of `klokke dev`, with logins made for this request. */
export async function fetchPeople(): Promise<Person[]> {
  const answer = await fetch('dev/people.json');
  return answer.ok ? ((await answer.json()) as Person[]) : [];
}

export interface PersonRef {
  profile: string;
  name: string;
}

export interface Badge {
  messages: number;
  notifications: number;
}

export interface Thread {
  id: string;
  subject?: string;
  creator?: PersonRef;
  replies: 'sender' | 'everyone';
  sensitive: boolean;
  step_up_required: boolean;
  last: string;
  last_ms: number;
  unread: number;
  muted: boolean;
}

export interface Message {
  id: string;
  thread: string;
  kind: 'message' | 'participants_added' | 'participant_left' | 'sensitivity_changed';
  by?: PersonRef;
  text?: string;
  about?: PersonRef[];
  at_ms: number;
  edited_ms?: number;
  withdrawn_ms?: number;
  step_up_required?: boolean;
}

export interface Post {
  id: string;
  by: PersonRef;
  title?: string;
  body?: string;
  /** Whether the body goes on: only its beginning is here. */
  more?: boolean;
  important?: { from: string; to: string };
  publish_ms: number;
  withdrawn_ms?: number;
  unseen?: boolean;
}

export interface Screen {
  person: PersonRef;
  kind: string;
  unit: string;
  groups: { group: string; name: string; kind: string }[];
  badge: Badge;
  threads: Thread[];
  posts: Post[];
}

export type MessageEntry = { type: 'message'; thread: { id: string; subject?: string; sensitive: boolean }; message: Message };
export type StateEntry = { type: 'thread.state'; thread: string; unread: number; muted: boolean; badge: Badge };
export type PostEntry = { type: 'post'; post: Post };
export type Entry = MessageEntry | StateEntry | PostEntry | { type: string };

export const isMessage = (entry: Entry): entry is MessageEntry => entry.type === 'message';
export const isPost = (entry: Entry): entry is PostEntry => entry.type === 'post';
export const isState = (entry: Entry): entry is StateEntry => entry.type === 'thread.state';
