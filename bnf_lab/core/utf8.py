"""Text is UTF-8 everywhere, whatever the locale says: names of files, standard streams, child processes."""

from __future__ import annotations

import os
import sys


def use_utf8() -> None:
    """Starts this program anew in Python's UTF-8 mode where the locale would have another encoding; else returns.

    Under LC_ALL=C with PYTHONUTF8=0, or a locale such as de_DE.ISO-8859-1, a file of another name than the locale can
    spell cannot be made: gradio keeps uploads under their own names and answered 500. The mode is fixed when Python
    starts, so it has to be started again, in the same process. Elsewhere than on POSIX names are never the locale's.
    """
    is_utf8 = sys.getfilesystemencoding().lower().replace("_", "-") == "utf-8"
    # the variable tells that it was tried: an option of Python's own, -X utf8=0, has the last word
    if os.name != "posix" or is_utf8 or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program
