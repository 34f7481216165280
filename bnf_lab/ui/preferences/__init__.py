"""The tab where judgements come in: upload, demo sets, marking, the table.

Doors: tab.
Must not know: other tabs.
"""
