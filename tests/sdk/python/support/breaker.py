"""A TCP forwarder that can cut every connection through it, as a tunnel or a lift does to a phone."""

import asyncio


class Breaker:
    def __init__(self, address):
        self._host, self._port = address.split(":")
        self._broken = False
        self._writers = set()
        self.received = 0  # bytes that came from the server

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_):
        self.cut()
        self._server.close()

    def cut(self):
        """Cuts what is open and lets nobody through."""
        self._broken = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self):
        self._broken = False

    async def _accept(self, reader, writer):
        if self._broken:
            writer.transport.abort()
            return
        ahead, back = await asyncio.open_connection(self._host, int(self._port))
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(ahead, writer, counted=True))
        self._writers -= {writer, back}

    async def _pump(self, reader, writer, counted=False):
        try:
            while part := await reader.read(65536):
                self.received += len(part) if counted else 0
                writer.write(part)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
