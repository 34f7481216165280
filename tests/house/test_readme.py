"""The README: its commands and example run as they stand there, its table is the code's, its links lead somewhere.

The shell commands run with a tiny model in the embedded model's place, the example with the embedded model itself.
`python tests/house/test_readme.py` writes the table of settings anew.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bnf_lab.models.loading import LoadedModel

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
START, END = "<!-- settings -->\n", "<!-- /settings -->"
PARTS = ("app.py", "assets", "bnf_lab", "tests", "requirements.txt", "README.md", ".pytest.ini")
# added to a command so that a test stays short; what comes last wins
SMALL = {
    "train --data": "--n-steps 2 --responses-per-step 2 --n-probe 1 --max-tokens 96 --answer-steps 100",
    "score --held-out": "--pairs 1 --answers 1",
    "score --skills": "--problems 1",
    "experiment": "--seeds 1 --set n_steps=1 --set n_probe=1 --set max_tokens=96",
    "chat": "--max-new-tokens 4",
}
SERVER_SECONDS = 120


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def settings_table() -> str:
    """Returns the table of settings in Markdown, from the metadata of `RunConfig`."""
    from bnf_lab.core.config import field_default, field_specs

    lines = ["| name | default | accepted | what it does |", "|---|---|---|---|"]
    for name, spec in field_specs().items():
        accepted = ", ".join(f"`{choice}`" for choice in spec.choices) or "text"
        if spec.minimum is not None:
            accepted = f"{spec.minimum:,.10g} to {spec.maximum:,.10g} {spec.unit}".strip()
        default = f"`{field_default(name)}`" if field_default(name) != "" else "none"
        lines.append(f"| `{name}` | {default} | {accepted} | {spec.help} |")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def workplace(slow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository, so that what the commands write stays out of it."""
    folder = tmp_path_factory.mktemp("readme")
    for part in PARTS:
        (folder / part).symlink_to(ROOT / part)
    return folder


@pytest.fixture
def tiny_home(tiny_model_path: Path, tmp_path: Path) -> Path:
    """A data folder in which the tiny model stands for the embedded one."""
    from bnf_lab.core.sealed_folders import seal_checkpoint
    from bnf_lab.models.fetch import EMBEDDED_NAME

    models = tmp_path / "home" / "models"
    shutil.copytree(tiny_model_path, models / "tmp-tiny")
    seal_checkpoint(models / "tmp-tiny", models / EMBEDDED_NAME)
    return tmp_path / "home"


def environment(home: Path, **more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "BNF_LAB_HOME": str(home), "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | more


def run(command: str, workplace: Path, home: Path, **more: str) -> str:
    answer = subprocess.run(
        ["bash", "-euc", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=workplace,
        env=environment(home, **more),
        timeout=600,
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


def test_the_set_up_command_serves_the_lab(workplace: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (command,) = blocks("bash")[0].splitlines()
    variables = environment(tmp_path, GRADIO_SERVER_PORT=str(port))
    with (
        open(tmp_path / "log", "w+", encoding="utf-8") as log,
        subprocess.Popen(
            ["bash", "-c", command], stdout=log, stderr=log, cwd=workplace, env=variables, start_new_session=True
        ) as server,
    ):
        try:
            assert "BNF Lab" in wait_for_page(f"http://127.0.0.1:{port}/", server), log_text(tmp_path)
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def log_text(folder: Path) -> str:
    return (folder / "log").read_text()


def wait_for_page(address: str, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + SERVER_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    return ""


def test_the_shell_commands_run(workplace: Path, tiny_home: Path) -> None:
    commands = blocks("bash")[1].splitlines()
    assert len(commands) == 11
    for command in commands:
        assert command.startswith("python -m bnf_lab ")
        small = next((flags for verb, flags in SMALL.items() if f"bnf_lab {verb}" in command), "")
        output = run(f"{command} {small}", workplace, tiny_home)
        assert output.strip()
    assert {"first-run", "adapter.zip", "merged.zip", "report.html"} <= {path.name for path in workplace.iterdir()}


def test_the_example_runs(workplace: Path, embedded_home: Path) -> None:
    example = blocks("python")[0]
    assert len([line for line in example.splitlines() if line]) <= 10
    (workplace / "example.py").write_text(example)
    output = run("python example.py", workplace, embedded_home)
    assert "1.0000, 0.2689" in output


def test_a_loss_in_ten_lines_trains(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    _, example = blocks("python")
    assert len([line for line in example.splitlines() if line]) <= 10
    from bnf_lab.core.config import RunConfig
    from bnf_lab.losses import LOSSES
    from bnf_lab.models.adapters import add_lora
    from bnf_lab.training.trainer import BNFTrainer
    from tests.training.test_trainer import adapter_weights, make_pairs

    before = dict(LOSSES)
    try:
        exec(example, {})  # noqa: S102 - the README's own lines
        (name,) = LOSSES.keys() - before.keys()
        loaded = add_lora(tiny_loaded, rank=4, alpha=8, dropout=0.0)
        start = adapter_weights(loaded)
        config = RunConfig(method=name, n_steps=2, responses_per_step=4)
        trainer = BNFTrainer.from_judgements(loaded, make_pairs(), config, output_dir=tmp_path)
        trainer.train()
    finally:
        LOSSES.pop("margin", None)
    assert any((weight != start[n]).any() for n, weight in adapter_weights(loaded).items())
    assert trainer.state.log_history[0]["loss"] == pytest.approx(1.3133, abs=1e-3)  # -log sigmoid(-1) at the start


def test_the_commands_of_an_experiment_run(workplace: Path, tiny_home: Path) -> None:
    for command in blocks("bash")[3].splitlines():
        assert run(f"{command} {SMALL['experiment']}", workplace, tiny_home).strip()
    assert (workplace / "pairs" / "report.html").is_file()


def test_the_commands_for_several_gpus_train(workplace: Path, tiny_home: Path) -> None:
    """Without a GPU accelerate starts one process; tests/training/test_distributed.py starts two."""
    prepare, launch = blocks("bash")[2].splitlines()
    run(f"{prepare} {SMALL['train --data']}", workplace, tiny_home)
    run(launch, workplace, tiny_home)
    assert (workplace / "shared-run" / "adapter" / "adapter_model.safetensors").is_file()


def test_the_test_command_finds_the_tests(workplace: Path, tmp_path: Path) -> None:
    (command,) = blocks("bash")[4].splitlines()
    # only collected, or this test would run itself
    output = run(command, workplace, tmp_path, PYTEST_ADDOPTS="--collect-only tests/losses/test_losses.py")
    assert "tests collected" in output


def test_all_commands_are_covered() -> None:
    assert len(blocks("bash")) == 5
    assert len(blocks("python")) == 2


def test_the_table_of_settings_is_that_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.partition(START)[2].partition(END)[0] == settings_table(), "run: python tests/house/test_readme.py"


def test_links_and_pictures_are_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith("http")]
    assert len(local) >= 6
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_the_front_matter_names_the_pinned_gradio() -> None:
    import yaml

    matter = yaml.safe_load(README.read_text(encoding="utf-8").split("---")[1])
    assert f"gradio=={matter['sdk_version']}" in (ROOT / "requirements.txt").read_text()
    assert (ROOT / matter["app_file"]).is_file()
    assert matter["sdk"] == "gradio"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    before, _, rest = README.read_text(encoding="utf-8").partition(START)
    README.write_text(before + START + settings_table() + END + rest.partition(END)[2], encoding="utf-8")
