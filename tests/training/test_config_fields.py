"""Every setting that the page draws is read by the engine: a knob that does nothing must not be shown."""

from __future__ import annotations

import ast
from pathlib import Path

from bnf_lab.core.config import field_specs
from bnf_lab.losses import LOSSES

PACKAGE = Path(__file__).parents[2] / "bnf_lab"
ENGINE = ("core/automatic.py", "core/config.py", "data/splits.py", "losses/*.py", "models/*.py", "training/*.py")


def read_by_engine() -> set[str]:
    """Returns every `config.<name>` in the rooms that train, and what a loss asks for by name."""
    found = {name for loss in LOSSES.values() for name in loss.settings}
    for path in (path for pattern in ENGINE for path in PACKAGE.glob(pattern)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and _is_config(node.value):
                found.add(node.attr)
    return found


def _is_config(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "config") or (
        isinstance(node, ast.Attribute) and node.attr == "config"
    )


def test_every_setting_is_read_by_the_engine():
    assert set(field_specs()) - read_by_engine() == set()


def test_the_search_finds_reads_and_nothing_else():
    assert "n_steps" in read_by_engine()
    assert "nonsense" not in read_by_engine()


def test_a_setting_of_one_method_is_read_by_that_methods_loss_only():
    for name, spec in field_specs().items():
        if spec.methods:
            assert set(spec.methods) == {method for method, loss in LOSSES.items() if name in loss.settings}
