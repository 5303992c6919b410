"""Connections by `aioquic`, raw and WebTransport, with one bidirectional stream each."""

import asyncio
import ssl

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived


def configuration(alpn, certificate):
    config = QuicConfiguration(is_client=True, alpn_protocols=alpn, verify_mode=ssl.CERT_REQUIRED)
    config.load_verify_locations(str(certificate))
    config.server_name = "localhost"
    config.max_datagram_frame_size = 65_536
    return config


class Carrier(QuicConnectionProtocol):
    """What both have: bytes to say and to hear."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self._heard = asyncio.Queue()
        self.stream = None
        self.close_code = None

    def say(self, data, end=False):
        self._quic.send_stream_data(self.stream, data, end)
        self.transmit()

    async def hear(self):
        """The next bytes; nothing once there are no more."""
        return await self._heard.get()

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.close_code = event.error_code
            self._heard.put_nowait(b"")
        else:
            self.take(event)


class Raw(Carrier):
    ALPN = ["klokke"]

    async def begin(self, *_):
        self.stream = self._quic.get_next_available_stream_id()

    def take(self, event):
        if isinstance(event, StreamDataReceived) and event.stream_id == self.stream and event.data:
            self._heard.put_nowait(event.data)


class WebTransport(Carrier):
    ALPN = H3_ALPN
    PATH = "/connection/webtransport"

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self._http = H3Connection(self._quic, enable_webtransport=True)
        self._answer = asyncio.get_running_loop().create_future()
        self._session = None

    async def begin(self, host, port, protobuf, path=None, origin=None):
        """Opens the session and its stream; raises what the server refuses with."""
        query = "?cf_protocol=protobuf" if protobuf else ""
        headers = [
            (b":method", b"CONNECT"),
            (b":scheme", b"https"),
            (b":authority", f"{host}:{port}".encode()),
            (b":path", ((path or self.PATH) + query).encode()),
            (b":protocol", b"webtransport"),
        ]
        if origin:
            headers.append((b"origin", origin.encode()))
        self._session = self._quic.get_next_available_stream_id()
        self._http.send_headers(self._session, headers)
        self.transmit()
        status = await asyncio.wait_for(self._answer, 10)
        if status != b"200":
            raise ConnectionRefusedError(status.decode())
        self.stream = self._http.create_webtransport_stream(self._session)

    def take(self, event):
        if isinstance(event, StreamDataReceived) and event.stream_id == self.stream:
            # The library looks for a frame's header there, and what comes down the client's own stream has none.
            if event.data:
                self._heard.put_nowait(event.data)
            return
        for event in self._http.handle_event(event):
            if isinstance(event, HeadersReceived) and event.stream_id == self._session and not self._answer.done():
                self._answer.set_result(dict(event.headers)[b":status"])
