"""Under a locale whose encoding is not UTF-8: names of files, what is printed, what child processes write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import ROOT, Server, Watcher, open_browser, open_page, pair_rows, running_server

LOCALES = [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
NAME = "Größe — 日本 🙂.jsonl"
ROWS = pair_rows([("What is “größer”?", "Bigger — 🙂", "日本")])


@pytest.fixture(params=LOCALES, ids=lambda variables: variables["LC_ALL"], scope="module")
def server(slow: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("Zürich"), variables=request.param) as server:
        yield server


def test_a_file_of_any_name_is_uploaded_and_kept_under_it(server: Server) -> None:
    with open_browser() as browser:
        watcher = Watcher()
        page = open_page(browser, server.url, watcher)
        file = {"name": NAME, "mimeType": "application/json", "buffer": ROWS.encode()}
        page.section("Upload")
        page.page.locator("#upload-file input[type=file]").set_input_files(files=[file])
        page.wait_text("#upload-head", NAME)
        page.wait_text("#upload-examples", "What is “größer”?")
        page.click("upload-add")
        page.wait_text("#upload-status", "2 judgements added")
        assert watcher.problems == []
    assert "Traceback" not in server.tail()


@pytest.mark.slow
@pytest.mark.parametrize("variables", LOCALES, ids=lambda variables: variables["LC_ALL"])
def test_a_verb_names_a_file_as_it_is_called(variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(ROWS, encoding="utf-8")
    environment = {**os.environ, "BNF_LAB_HOME": str(tmp_path / "Zürich"), **variables}
    for more in ([], ["--json"]):
        command = [sys.executable, "-m", "bnf_lab", "check", str(tmp_path / NAME), *more]
        answer = subprocess.run(command, capture_output=True, cwd=ROOT, env=environment, check=False)
        assert answer.returncode == 0, answer.stderr
        out = answer.stdout.decode("utf-8")
        assert (json.loads(out)["file"] if more else out.partition(":")[0]) == NAME


@pytest.mark.parametrize("variables", LOCALES, ids=lambda variables: variables["LC_ALL"])
def test_a_child_process_writes_utf_8(variables: dict[str, str], tmp_path: Path) -> None:
    """Workers log what libraries say, and libraries open files by the locale."""
    from bnf_lab.core.child_processes import module_environment

    code = "import sys, locale; print('größer 🙂', sys.getfilesystemencoding(), open(sys.argv[1], 'w').encoding)"
    environment = module_environment({**os.environ, **variables})
    command = [sys.executable, "-c", code, str(tmp_path / NAME)]
    said = subprocess.run(command, capture_output=True, env=environment, check=True).stdout.decode("utf-8")
    assert said.lower().split() == ["größer", "🙂", "utf-8", "utf-8"]
