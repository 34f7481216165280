"""Excel workbooks (.xlsx) -> rows through a process of their own. Knows processes, not workbooks."""

from __future__ import annotations

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.child_rows import ChildFailed, ChildRows, read_in_child
from bnf_lab.data.formats.rows import Limits


def read_excel(path: str, label: str, limits: Limits, sheet: str | None = None, *, seconds: float = 120.0) -> ChildRows:
    """Reads one sheet of a workbook, or says what else a file is that begins as one does.

    Args:
        path: The file.
        label: How messages call it.
        limits: What one import may bring.
        sheet: Which sheet, where several are filled.
        seconds: After how long the process is ended.

    Raises:
        ImportRefused: If it is no workbook, cannot be read, exceeds a limit or takes too long; `SeveralTables` if
            several sheets are filled and none was chosen.
    """
    order = {"path": path, "sheet": sheet}
    try:
        return read_in_child("bnf_lab.data.formats.excel_worker", order, label, limits, seconds=seconds)
    except ChildFailed as error:
        raise ImportRefused(
            f"{label}: it is not an Excel workbook that can be read; it may be damaged. Open it, save it again as "
            ".xlsx, or save the sheet as CSV (UTF-8)."
        ) from error
