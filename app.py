"""Serves the lab in a browser: `python app.py`. Reads the command line and the environment, and nothing else."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bnf_lab.core.errors import LabError
from bnf_lab.core.paths import data_home, resolved
from bnf_lab.core.utf8 import use_utf8
from bnf_lab.lab.backups import restore_backup
from bnf_lab.lab.lab import Lab
from bnf_lab.ui import prepare_environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Starts the server and returns the exit code once it has ended; 2 if it cannot start, with one line why."""
    parser = argparse.ArgumentParser(description="Align a small language model with your own preferences.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument("--share", action="store_true", help="also open a public gradio.live link")
    parser.add_argument("--data-dir", type=Path, default=None, help="where judgements, runs and models are kept")
    parser.add_argument(
        "--restore-backup", action="store_true", help="put the newest backup of the database in its place, and end"
    )
    args = parser.parse_args(arguments)
    try:
        home = resolved(args.data_dir) if args.data_dir else data_home()
        if args.restore_backup:
            return _restore(home)
        lab = Lab(home)
    except (LabError, OSError) as error:
        parser.exit(2, " ".join(str(error).split()) + "\n")
    try:
        return _serve(lab, args)
    except OSError as error:
        parser.exit(2, f"The lab cannot listen on {args.host}:{args.port}: {error}. Choose another --port or --host.\n")
    finally:
        lab.close()


def _serve(lab: Lab, args: argparse.Namespace) -> int:
    os.environ["BNF_LAB_HOME"] = str(lab.home)  # from now on it is this process's data folder, wherever it is asked
    prepare_environment(lab.scratch)
    from bnf_lab.ui.layout import build_app, launch_settings  # noqa: PLC0415 - gradio reads the environment at import

    build_app(lab).launch(server_name=args.host, server_port=args.port, share=args.share, **launch_settings())
    return 0


def _restore(home: Path) -> int:
    backup, aside = restore_backup(home)
    kept = f" What was there is kept as {aside.name}." if aside else ""
    sys.stdout.write(f"{backup.name} is now the lab's database in {home}.{kept} Start the lab again.\n")
    return 0


if __name__ == "__main__":
    use_utf8()
    sys.exit(main())
