"""One server for all cases of a file."""

import pytest

from support.server import ROSA, Server


@pytest.fixture(scope="module")
def server():
    server = Server()
    server.run("import", str(ROSA), "--apply")
    server.start()
    yield server
    server.remove()
