import subprocess
import sys
from pathlib import Path

import pytest

from bnf_lab.training.worker import UNUSED


@pytest.mark.slow
@pytest.mark.parametrize(("quantization", "needed"), [("none", False), ("nf4", True)])
def test_a_worker_imports_only_what_it_uses(quantization, needed):
    code = (
        "import gc, sys; from bnf_lab.training.worker import import_training;"
        f"room = import_training({quantization!r}); print(gc.isenabled(), room.__name__);"
        "print(sorted(name for name, module in sys.modules.items() if module and '.' not in name))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    first, second = answer.stdout.strip().split("\n")
    assert first == "True bnf_lab.training.run"
    assert not {name for name in UNUSED if repr(name) in second}
    assert ("'bitsandbytes'" in second) is needed
