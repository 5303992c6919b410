"""The real server as a child process, on a free port, with a folder of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parents[3]
CONFIG = TESTS / "real-parts.toml"
ROSA = TESTS / "rosa.jsonl"  # one teacher of one school, for suites that need somebody of the domain
API_KEY = "the back end's key"
START_MAX_S = 60


def program():
    named = os.environ.get("KLOKKE_BIN")
    if not named:
        raise RuntimeError("KLOKKE_BIN does not name the built server: run `cargo xtask test --only sdk-python`")
    return named


def environment():
    """The server takes every variable with this prefix for a setting; those here speak to the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KLOKKE_")}


class Server:
    def __init__(self, **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="klokke-"))
        self.log = ""
        self.address = None
        shutil.copy(CONFIG, self.folder / "klokke.toml")
        self.quic = None
        self._settings = {}
        self.set(**settings)

    def set(self, **settings):
        """Settings for the next start; `listen__quic_address` is `listen.quic_address`."""
        self._settings.update({key.replace("__", "."): value for key, value in settings.items()})

    def _set(self):
        settings = {
            "listen.address": self.address or "127.0.0.1:0",
            "store.path": self.folder / "data",
            **self._settings,
        }
        pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        return ["--config", str(self.folder / "klokke.toml"), *pairs]

    def run(self, *arguments):
        """Runs another verb of the program against this server's folder, to its end."""
        ran = subprocess.run(
            [program(), *arguments, *self._set()], capture_output=True, text=True, env=environment()
        )
        assert ran.returncode == 0, f"klokke {arguments[0]}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def start(self):
        self._child = subprocess.Popen(
            [program(), "serve", *self._set()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self._child.stdout, ready), daemon=True).start()
        ready.wait(START_MAX_S)
        assert self.address, f"the server did not say that it is ready; it said:\n{self.log}"
        return self

    def _listen(self, output, ready):
        for line in output:
            self.log += line
            said = re.search(r'ready on ([^\s",]+)', line)
            if said:
                self.address = said[1]
                quic = re.search(r"QUIC on (\S+)", line)
                self.quic = quic and quic[1]
                ready.set()
        ready.set()

    def remove(self):
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def api(self, method, **request):
        """A call of the server API; its result."""
        call = urllib.request.Request(
            f"http://{self.address}/api/{method}",
            data=json.dumps(request).encode(),
            headers={"X-API-Key": API_KEY, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(call, timeout=30) as answer:
            body = json.load(answer)
        assert "error" not in body, f"{method}: {body}"
        return body["result"]
