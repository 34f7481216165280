"""`python -m bnf_lab`: the lab without a browser; see `cli`."""

from __future__ import annotations

import signal
import sys

from bnf_lab.cli.main import main
from bnf_lab.core.utf8 import use_utf8

if __name__ == "__main__":
    use_utf8()
    # a termination leaves by the same way as Ctrl-C, so that helper processes end and nothing half-written stays
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
