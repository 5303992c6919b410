// Tokens as a login service would sign them.

import { createHmac } from 'node:crypto';

const SECRET = 'a secret that only the tests know';
const HOUR_S = 3600;

const encode = (part) => Buffer.from(part).toString('base64url');

export const now = () => Math.floor(Date.now() / 1000);

/** Any claims, signed; valid for an hour unless they say otherwise. */
export function signed(claims, secret = SECRET) {
  const head = encode(JSON.stringify({ alg: 'HS256', typ: 'JWT' }));
  const body = encode(JSON.stringify({ exp: now() + HOUR_S, ...claims }));
  const signature = createHmac('sha256', secret).update(`${head}.${body}`).digest('base64url');
  return `${head}.${body}.${signature}`;
}

export const of = (sub, claims = {}) => signed({ sub, ...claims });

export const forChannel = (sub, channel, claims = {}) => signed({ sub, channel, ...claims });
