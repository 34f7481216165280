"""Serves the lab in a browser: `python app.py`. Reads the command line and the environment, and nothing else."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bnf_lab.home import data_home
from bnf_lab.lab import Lab
from bnf_lab.ui import prepare_environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Starts the server and returns the exit code once it has ended."""
    parser = argparse.ArgumentParser(description="Align a small language model with your own preferences.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument("--share", action="store_true", help="also open a public gradio.live link")
    parser.add_argument("--data-dir", type=Path, default=None, help="where judgements, runs and models are kept")
    args = parser.parse_args(arguments)
    data_dir = args.data_dir or data_home()
    prepare_environment(data_dir)
    from bnf_lab.ui.layout import build_app, launch_settings  # noqa: PLC0415 - gradio reads the environment at import

    lab = Lab(data_dir)
    try:
        build_app(lab).launch(server_name=args.host, server_port=args.port, share=args.share, **launch_settings())
    except OSError as error:
        parser.exit(2, f"The lab cannot listen on {args.host}:{args.port}: {error}. Choose another --port or --host.\n")
    finally:
        lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
