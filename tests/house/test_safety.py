"""The running server from outside: where it listens, what it hands out, what it refuses."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Server

ONLY_A_TAB = r'data: \[\{"selected": "\w+", "__type__": "update"\}\]\n'
NO_WORKSPACE = "This browser has no workspace here yet."
UPLOAD_LIMIT = 20 * 1024 * 1024


@pytest.fixture(scope="module")
def server(slow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("home"))
    server.start()
    yield server
    server.stop()


def get(server: Server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(server.url + path, timeout=30) as reply:
            return reply.status, reply.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def post(server: Server, path: str, body: bytes, kind: str = "application/json") -> tuple[int, str]:
    request = urllib.request.Request(server.url + path, data=body, headers={"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (ConnectionError, urllib.error.URLError):
        return 0, "closed"


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    listening = Path("/proc/net/tcp").read_text(encoding="ascii") + Path("/proc/net/tcp6").read_text(encoding="ascii")
    port = f":{server.port:04X}"
    found = [line.split()[1] for line in listening.splitlines() if line.split()[1].endswith(port) and " 0A " in line]
    assert found == [f"0100007F{port}"]  # 127.0.0.1


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=/etc/hostname",
        "file=/etc/passwd",
        "gradio_api/file=lab.sqlite",
        "gradio_api/file=../lab.sqlite",
        "gradio_api/file=app.py",
        "gradio_api/file=requirements.txt",
        "static/../../app.py",
        "gradio_api/proxy=http://127.0.0.1:9/",
    ],
)
def test_files_of_the_server_are_not_handed_out(server: Server, path: str) -> None:
    status, text = get(server, path)
    assert status in (400, 401, 403, 404, 405), text[:200]
    assert "root:" not in text


def test_the_database_and_the_log_cannot_be_fetched_by_their_path(server: Server) -> None:
    for name in ("lab.sqlite", "server.log"):
        assert get(server, f"gradio_api/file={server.data_dir / name}")[0] in (403, 404)


def test_nothing_describes_the_inside(server: Server) -> None:
    for path in ("openapi.json", "docs", "redoc", "monitoring", "monitoring/x"):
        assert get(server, path)[0] in (401, 403, 404), path
    info = json.loads(get(server, "gradio_api/info")[1])
    assert info["named_endpoints"] == {}
    assert info["unnamed_endpoints"] == {}


def says_only(words: str, events: str) -> bool:
    """Whether all that events of a stream hand out are these words, some leave everything as it is."""
    values = [value for line in re.findall(r"^data: (.*)$", events, re.MULTILINE) for value in json.loads(line) or []]
    told = [value for value in values if isinstance(value, str) and words in value]
    empty = (None, "", {"__type__": "update"}, {"__type__": "update", "props": {"__type__": "update"}})
    return bool(told) and all(value in told or value in empty for value in values)


def test_no_event_of_a_workspace_answers_a_made_up_token(server: Server) -> None:
    """`api_visibility` hides events but does not lock them: each handler must ask whose workspace it is."""
    config = json.loads(get(server, "config")[1])
    (token,) = [c["id"] for c in config["components"] if c["type"] == "browserstate"]
    guarded = [d for d in config["dependencies"] if d["inputs"][:1] == [token] and d["backend_fn"]]
    assert len(guarded) > 30
    open_doors = []
    for event in guarded:
        data = ["made-up-token", *[None] * (len(event["inputs"]) - 1)]
        status, text = post(server, f"gradio_api/call/{event['api_name']}", json.dumps({"data": data}).encode())
        if status == 200:
            _, text = get(server, f"gradio_api/call/{event['api_name']}/{json.loads(text)['event_id']}")
        is_refused = status != 200 or "event: error" in text or says_only(NO_WORKSPACE, text)
        if not is_refused and event["api_name"] != "keep_workspace" and not re.search(ONLY_A_TAB, text):
            open_doors.append((event["api_name"], text[:200]))
    assert open_doors == []


def test_too_large_an_upload_is_refused_and_the_server_lives(server: Server) -> None:
    boundary = "----lab"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="big.jsonl"\r\n\r\n'.encode()
    body = head + b"x" * (UPLOAD_LIMIT + 1_000_000) + f"\r\n--{boundary}--\r\n".encode()
    status, _ = post(server, "gradio_api/upload", body, f"multipart/form-data; boundary={boundary}")
    assert status in (0, 400, 413)
    assert get(server, "")[0] == 200


@pytest.mark.parametrize(
    "noise", [b"\x00\x01\x02" * 100, b"GET / HTTP/9.9\r\n\r\n", b"POST /gradio_api/queue/join HTTP/1.1\r\n\r\n{", b""]
)
def test_noise_on_the_port_does_not_hurt(server: Server, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(noise)
    assert get(server, "")[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"data": null}',
        b'{"fn_index": 0}',
        b'{"fn_index": 99999, "data": [], "session_hash": "a"}',
        b'{"fn_index": -1, "data": {}, "session_hash": "a"}',
        b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_malformed_events_are_refused_without_a_trace(server: Server, body: bytes) -> None:
    status, text = post(server, "gradio_api/queue/join", body)
    assert "Traceback" not in text
    assert "site-packages" not in text
    assert status != 200 or "event_id" in text
    assert get(server, "")[0] == 200


def test_the_data_folder_is_private(server: Server) -> None:
    assert (server.data_dir / "tmp").stat().st_mode & 0o077 == 0
