// The unmodified SDK, over every way it can connect.

import { Centrifuge as Json } from 'centrifuge';
import { Centrifuge as Protobuf } from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';

const text = new TextEncoder();
const bytes = new TextDecoder();

/** JSON carries values as they are, Protobuf carries bytes. */
export const asIs = { out: (value) => value, in: (data) => data };
export const asBytes = {
  out: (value) => text.encode(JSON.stringify(value)),
  in: (data) => JSON.parse(bytes.decode(data)),
};

const quick = { minReconnectDelay: 20, maxReconnectDelay: 200, timeout: 10_000 };

function emulated(transport) {
  return (address, options) =>
    new Json([{ transport, endpoint: `http://${address}/connection/${transport}` }], {
      emulationEndpoint: `http://${address}/emulation`,
      eventsource: EventSource,
      fetch,
      readableStream: ReadableStream,
      ...quick,
      ...options,
    });
}

export const ways = [
  {
    name: 'WebSocket, JSON',
    client: (address, options) =>
      new Json(`ws://${address}/connection/websocket`, { websocket: WebSocket, ...quick, ...options }),
    data: asIs,
  },
  {
    name: 'WebSocket, Protobuf',
    client: (address, options) =>
      new Protobuf(`ws://${address}/connection/websocket`, { websocket: WebSocket, ...quick, ...options }),
    data: asBytes,
  },
  { name: 'HTTP-stream', client: emulated('http_stream'), data: asIs },
  { name: 'SSE', client: emulated('sse'), data: asIs },
];
