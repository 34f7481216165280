"""The pages: the only rooms that know gradio. `layout.build_app(lab)` makes them.

Importing this package does not import gradio, so that `prepare_environment` can speak first. A tab is a folder.

Doors: this module, layout.
Must not know: training, models, losses, experiments' engine; tabs do not know one another.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from bnf_lab.core.machine import share_cores


def prepare_environment(uploads: Path) -> None:
    """Sets what gradio reads from the environment when it is imported: no telemetry, a private upload folder.

    Args:
        uploads: Where uploads wait, the one folder that gradio gives files out from: `Lab.scratch`.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio accepts no other spelling
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    share_cores()
    # Said to a page's author; here a stored choice may name a model that has gone, and the page says so itself.
    warnings.filterwarnings("ignore", message=r"The value passed into gr\.Dropdown\(\) is not in the list of choices")
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000")  # fewer full rebuilds of unused statistics
