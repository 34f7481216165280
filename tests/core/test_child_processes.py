"""What the lab's processes are told of the process that starts them."""

from __future__ import annotations

import json
import subprocess

from bnf_lab.core.child_processes import module_environment, run_module, start_module

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "a",
    "OPENAI_API_KEY": "b",
    "BNF_LAB_JUDGE_KEY": "c",
    "GITHUB_TOKEN": "d",
    "PGPASSWORD": "e",
    "GOOGLE_APPLICATION_CREDENTIALS": "f",
    "SSH_AUTH_SOCK": "g",
    "my_secret": "h",
}
KEPT = {"TOKENIZERS_PARALLELISM": "false", "KEYBOARD": "us", "HF_TOKEN": "hf", "PIP_INDEX_URL": "https://example.org"}
PRINT = "import json, os\nprint(json.dumps(dict(os.environ)))\n"


def test_a_child_is_told_no_secret(tmp_path, monkeypatch):
    (tmp_path / "tell_environment.py").write_text(PRINT, encoding="utf-8")
    given = {**SECRETS, **KEPT, "PYTHONPATH": str(tmp_path)}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    told = [run_module("tell_environment", stdout=subprocess.PIPE).stdout]
    told.append(run_module("tell_environment", environment=given, stdout=subprocess.PIPE).stdout)
    told.append(start_module("tell_environment", stdout=subprocess.PIPE).communicate(timeout=60)[0])
    for variables in map(json.loads, told):
        assert not SECRETS.keys() & variables.keys()
        assert variables.items() >= KEPT.items()


def test_what_a_child_needs_stands_over_what_is_given():
    assert module_environment({"PYTHONUTF8": "0"})["PYTHONUTF8"] == "1"
