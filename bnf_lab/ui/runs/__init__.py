"""The tab with the list of runs and their downloads.

Doors: tab.
Must not know: other tabs.
"""
