"""Everything the REST description promises, tried by schemathesis with all its checks: as the leader and as a teacher of an
invented school in which there is something to work on, and as nobody."""

import json
import os
import subprocess
import sys
import urllib.request

import pytest

from support import token
from support.server import Server, environment

SEEDS = os.environ.get("KLOKKE_OPENAPI_SEEDS", "20261124").split(",")
THREADS = 60
MESSAGES = 80
POSTS = 60
TAGS = [f"meeting:{n}" for n in range(24)]

LEADER, TEACHER, CHILD, GUARDIAN, OTHER_CHILD = (f"G1.p{n}" for n in range(1, 6))
PEOPLE = [
    {"type": "unit", "code": "M1", "name": "Klokkeby Kommune", "kind": "municipality"},
    {"type": "unit", "code": "G1", "name": "Klokkeby Skole", "kind": "school", "parent": "M1"},
    *(
        line
        for name, profile, kind in [
            ("leader", LEADER, "leader"),
            ("teacher", TEACHER, "pedagogical_staff"),
            ("child", CHILD, "pupil"),
            ("guardian", GUARDIAN, "guardian"),
            ("other-child", OTHER_CHILD, "pupil"),
        ]
        for line in [
            {"type": "person", "id": name, "name": name.title()},
            {"type": "account", "subject": name, "person": name},
            {"type": "profile", "id": profile, "person": name, "kind": kind},
        ]
    ),
    {"type": "group", "id": "G1.g1", "name": "2.A", "kind": "class", "main": True},
    {"type": "group", "id": "G1.g2", "name": "Teamet", "kind": "institutional"},
    *({"type": "membership", "group": "G1.g1", "profile": profile, "kind": "member"} for profile in [TEACHER, CHILD, OTHER_CHILD]),
    *({"type": "membership", "group": "G1.g2", "profile": profile, "kind": "member"} for profile in [LEADER, TEACHER]),
    {"type": "relation", "adult": GUARDIAN, "child": CHILD, "kind": "guardian", "custody": True},
    {"type": "inbox", "id": "G1.i1", "name": "Kontoret", "members": [LEADER]},
]


def login(subject):
    return token.of(subject, loa="substantial", auth_time=token.now())


@pytest.fixture
def server():
    """A server of its own for each run: what one took apart, the next would miss."""
    server = Server()
    people = server.folder / "school.jsonl"
    people.write_text("".join(json.dumps(line) + "\n" for line in PEOPLE))
    server.run("import", str(people), "--apply")
    server.start()
    yield server
    assert "panicked" not in server.log
    server.api("info")
    server.remove()


def call(server, subject, path, body):
    request = urllib.request.Request(
        f"http://{server.address}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {login(subject)}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def something_to_work_on(server, subject, profile):
    """Threads, posts and notifications of this person. What will be left or withdrawn is apart, so that the rest stays."""
    threads, messages, posts = [], [], []
    for n in range(THREADS):
        body = {"profile": profile, "subject": f"Tråd {n}", "text": "Hej", "recipients": [{"group": "G1.g1"}], "replies": "everyone"}
        threads.append(call(server, subject, "/v1/threads", body)["thread"]["id"])
    # Messages belong to their thread, so those that are named are of one.
    talk = threads.pop()
    for n in range(MESSAGES):
        messages.append(call(server, subject, f"/v1/threads/{talk}/messages", {"profile": profile, "text": f"Nr. {n}"})["id"])
    for n in range(POSTS):
        body = {"profile": profile, "place": {"unit": "G1"}, "title": f"Opslag {n}", "body": "Hej", "comments_open": True}
        posts.append(call(server, subject, "/v1/posts", body)["id"])
    for tag in TAGS:
        body = {"profile": profile, "recipients": [profile, GUARDIAN], "event": "meeting.moved", "tag": tag}
        call(server, subject, "/v1/notifications", body)
    return {
        "acting": [profile],
        "profiles": [LEADER, TEACHER, CHILD, GUARDIAN, OTHER_CHILD],
        "members": [CHILD, GUARDIAN, OTHER_CHILD],
        "adults": [GUARDIAN],
        "children": [CHILD, OTHER_CHILD],
        "units": ["G1"],
        "groups": ["G1.g1", "G1.g2"],
        "inboxes": ["G1.i1"],
        # Not those who work here: they would close the door behind them.
        "kinds": ["external_actor", "adviser", "technical_staff"],
        "threads": threads[::3],
        "threads_to_leave": threads[1::3] + threads[2::3],
        "talk": [talk],
        "messages": messages[::2],
        "messages_to_withdraw": messages[1::2],
        "posts": posts[::3],
        "posts_to_withdraw": posts[1::3] + posts[2::3],
        "tags": TAGS,
    }


# Where the ids go, and how often one that exists is taken in place of one made up.
BINDINGS = {
    "path.profile": ("acting", 0.9),
    "query.profile": ("acting", 0.9),
    "body.profile": ("acting", 0.9),
    "path.unit": ("units", 0.9),
    "path.group": ("groups", 0.8),
    "query.group": ("groups", 0.8),
    "path.kind": ("kinds", 1.0),
    "path.person": ("profiles", 0.9),
    "path.member": ("members", 0.8),
    "path.inbox": ("inboxes", 0.8),
    "path.adult": ("adults", 0.8),
    "path.child": ("children", 0.8),
    "path.thread": ("threads", 0.9),
    "path.message": ("messages", 0.9),
    "path.post": ("posts", 0.9),
    "path.tag": ("tags", 0.8),
    "body.message": ("messages", 0.9),
    "body.members[*]": ("profiles", 0.9),
    "body.child": ("children", 0.8),
    "body.regarding[*]": ("children", 0.8),
    "body.recipients[*]": ("profiles", 1.0),
    "body.recipients[*].profile": ("profiles", 1.0),
    "body.recipients[*].group": ("groups", 1.0),
    "body.recipients[*].group_portal.group": ("groups", 1.0),
    "body.recipients[*].inbox": ("inboxes", 1.0),
    "body.place.group": ("groups", 0.9),
    "body.place.unit": ("units", 0.9),
}
# Where an operation needs its own: a message must be of its thread, and who leaves or withdraws must not take what others need.
OWN_BINDINGS = {
    "PATCH /v1/threads/{thread}/messages/{message}": {"path.thread": ("talk", 0.9)},
    "DELETE /v1/threads/{thread}/messages/{message}": {"path.thread": ("talk", 0.9), "path.message": ("messages_to_withdraw", 1.0)},
    "PUT /v1/threads/{thread}/read": {"path.thread": ("talk", 0.9)},
    "DELETE /v1/threads/{thread}/participation": {"path.thread": ("threads_to_leave", 1.0)},
    "DELETE /v1/posts/{post}": {"path.post": ("posts_to_withdraw", 1.0)},
}


def bound(place, name, probability):
    return f'"{place}" = {{ dictionary = "{name}", probability = {probability} }}'


def configuration(known, strict):
    """The tool's own file: what there is, and where it goes. All checks stay on."""
    lines = ["[warnings]", "fail-on = true"] if strict else []
    # A body beyond the limit is refused before it is read, so 413 is as good a refusal of what does not fit as 400.
    refused = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
    lines += ["[checks.negative_data_rejection]", f"expected-statuses = {json.dumps(refused)}"]
    # What was withdrawn is gone: like 404 and 409, that is about what is there and not about the data.
    taken = ["2xx", "3xx", "401", "403", "404", "409", "410", "429", "5xx"]
    lines += ["[checks.positive_data_acceptance]", f"expected-statuses = {json.dumps(taken)}"]
    for name, values in known.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    if known:
        lines += ["[parameters]"]
        lines += [bound(place, name, probability) for place, (name, probability) in BINDINGS.items()]
        for operation, bindings in OWN_BINDINGS.items():
            lines += ["[[operations]]", f'include-name = "{operation}"', "[operations.parameters]"]
            lines += [bound(place, name, probability) for place, (name, probability) in bindings.items()]
    return "\n".join(lines) + "\n"


def schemathesis(server, seed, known, *arguments, strict=False):
    """Runs the tool to its end; its own words are the failure's."""
    file = server.folder / "schemathesis.toml"
    file.write_text(configuration(known, strict))
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(file), "run", f"http://{server.address}/openapi.json",
        "--checks", "all", "--max-examples", "25", "--seed", seed, "--no-color",
        # How long the tool takes to think of data says nothing about the server.
        "--suppress-health-check", "too_slow", "--generation-database", "none", *arguments,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=server.folder, timeout=900)
    print(ran.stdout[-4000:])
    assert ran.returncode == 0, ran.stdout + ran.stderr


def header(subject):
    return "--header", f"Authorization: Bearer {login(subject)}"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_leader_gets_what_the_description_promises(server, seed):
    known = something_to_work_on(server, "leader", LEADER)
    # Every operation must be reached: whoever adds one without telling where its ids come from hears of it here.
    schemathesis(server, seed, known, *header("leader"), strict=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_teacher_gets_what_the_description_promises(server, seed):
    known = something_to_work_on(server, "teacher", TEACHER)
    schemathesis(server, seed, known, *header("teacher"))


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_gets_what_the_description_promises(server, seed):
    schemathesis(server, seed, {})
