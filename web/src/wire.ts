// What the page knows of the server's operations and entries. The whole description is at /openapi.json.

export interface Person {
  name: string;
  role: string;
  unit: string;
  token: string;
  /** A token of the same person after a strong login, for the step-up prompt. */
  step_up_token?: string;
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
  important?: { from: string; to: string };
  publish_ms: number;
  withdrawn_ms?: number;
  unseen?: boolean;
}

export interface Screen {
  person: PersonRef;
  kind: string;
  unit: string;
  groups: { group: string; name: string }[];
  badge: Badge;
  threads: Thread[];
  posts: Post[];
}

export type Entry =
  | { type: 'message'; thread: { id: string; subject?: string; sensitive: boolean }; message: Message }
  | { type: 'thread.state'; thread: string; unread: number; muted: boolean; badge: Badge }
  | { type: 'post'; post: Post }
  | { type: string };
