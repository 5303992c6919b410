"""One server for all cases of a file."""

import pytest

from support.server import Server


@pytest.fixture(scope="module")
def server():
    server = Server().start()
    yield server
    server.remove()
