"""The pages through gradio's own client: what a program on the network can see and do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from bnf_lab.lab.lab import Lab
from bnf_lab.ui.layout import build_app, launch_settings


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("home"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[Client]:
    app = build_app(lab)
    _, url, _ = app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_settings())
    client = Client(url, verbose=False, download_files=False)
    yield client
    client.close()
    app.close(verbose=False)


def index_of(client: Client, element: str, event: str) -> int:
    """Returns the number of the event that a component of the page triggers."""
    (target,) = [c["id"] for c in client.config["components"] if c["props"].get("elem_id") == element]
    (index,) = [d["id"] for d in client.config["dependencies"] if [target, event] in [list(t) for t in d["targets"]]]
    return index


def test_the_client_is_told_of_no_endpoint(client: Client) -> None:
    info = client.view_api(return_format="dict", print_info=False)
    assert info == {"named_endpoints": {}, "unnamed_endpoints": {}}
    with pytest.raises(ValueError, match="Cannot find a function"):
        client.predict(api_name="/start")


def test_a_hidden_event_cannot_be_called_by_its_number_either(lab: Lab, client: Client) -> None:
    mine = lab.new_workspace()
    with pytest.raises(ValueError, match="Invalid function index"):
        client.submit(mine, fn_index=index_of(client, "demo-honest_uncertainty", "click"))
    assert lab.judgements.count(lab.owner_of(mine)) == 0


def call(client: Client, element: str, *data: object) -> str:
    """Calls an event as the page does, without the client's own checks; returns the answer's stream."""
    index = index_of(client, element, "click")
    (name,) = [d["api_name"] for d in client.config["dependencies"] if d["id"] == index]
    address = f"{client.src}gradio_api/call/{name}"
    joined = httpx.post(address, json={"data": data}, timeout=30)
    return httpx.get(f"{address}/{joined.json()['event_id']}", timeout=60).text


def test_an_event_acts_on_the_workspace_of_its_token_alone_and_refuses_in_its_own_words(
    lab: Lab, client: Client
) -> None:
    mine, other = lab.new_workspace(), lab.new_workspace()
    assert "event: complete" in call(client, "demo-honest_uncertainty", mine)
    assert lab.judgements.count(lab.owner_of(mine)) == 158
    assert lab.judgements.count(lab.owner_of(other)) == 0
    again = call(client, "demo-honest_uncertainty", mine)
    assert "lab-wrong" in again  # beside the button
    assert "is in your workspace already" in again
    assert "Traceback" not in again
    assert str(lab.home) not in again
    assert lab.judgements.count(lab.owner_of(mine)) == 158


def test_a_file_larger_than_the_limit_is_not_taken(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    path.write_bytes(b"x" * (21 * 1024 * 1024))
    with open(path, "rb") as file:
        answer = httpx.post(f"{client.src}gradio_api/upload", files={"files": file}, timeout=60)
    assert answer.status_code == 413
