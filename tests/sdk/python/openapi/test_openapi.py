"""Everything the REST description promises, tried by schemathesis with all its checks, as a signed-in teacher of an invented
school and as nobody."""

import json
import subprocess
import sys

import pytest

from support import token
from support.server import Server, environment

PEOPLE = [
    {"type": "unit", "code": "M1", "name": "Klokkeby Kommune", "kind": "municipality"},
    {"type": "unit", "code": "G1", "name": "Klokkeby Skole", "kind": "school", "parent": "M1"},
    {"type": "person", "id": "teacher", "name": "Lærer"},
    {"type": "person", "id": "child", "name": "Barn"},
    {"type": "account", "subject": "teacher", "person": "teacher"},
    {"type": "account", "subject": "child", "person": "child"},
    {"type": "profile", "id": "G1.p1", "person": "teacher", "kind": "leader"},
    {"type": "profile", "id": "G1.p2", "person": "child", "kind": "pupil"},
    {"type": "group", "id": "G1.g1", "name": "2.A", "kind": "class", "main": True},
    {"type": "membership", "group": "G1.g1", "profile": "G1.p1", "kind": "member"},
    {"type": "membership", "group": "G1.g1", "profile": "G1.p2", "kind": "member"},
]


@pytest.fixture(scope="module")
def server():
    server = Server()
    people = server.folder / "school.jsonl"
    people.write_text("".join(json.dumps(line) + "\n" for line in PEOPLE))
    server.run("import", str(people), "--apply")
    server.start()
    yield server
    server.remove()


def schemathesis(server, *arguments):
    """Runs the tool to its end; its own words are the failure's."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"http://{server.address}/openapi.json",
        "--checks", "all", "--max-examples", "25", "--seed", "20261124", "--no-color",
        "--generation-database", "none", *arguments,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=server.folder, timeout=900)
    print(ran.stdout[-4000:])
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_leader_gets_what_the_description_promises(server):
    claims = token.of("teacher", loa="substantial", auth_time=token.now())
    schemathesis(server, "--header", f"Authorization: Bearer {claims}")


def test_nobody_gets_what_the_description_promises(server):
    schemathesis(server)


def test_the_server_is_well_afterwards(server):
    assert "panicked" not in server.log
    server.api("info")
