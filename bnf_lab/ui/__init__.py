"""The pages: the only rooms that know gradio. `layout.build_app(lab)` makes them.

Importing this package does not import gradio, so that `prepare_environment` can speak first.
"""

from __future__ import annotations

import os
from pathlib import Path

from bnf_lab.machine import share_cores


def prepare_environment(data_dir: Path) -> None:
    """Sets what gradio reads from the environment when it is imported: no telemetry, a private upload folder.

    Args:
        data_dir: The lab's data folder; uploads wait in its `tmp/`, readable by this user only.
    """
    uploads = data_dir / "tmp"
    uploads.mkdir(parents=True, exist_ok=True)
    uploads.chmod(0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.resolve())
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio accepts no other spelling
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    share_cores()
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000")  # fewer full rebuilds of unused statistics
