"""The tab where a run is set up and started.

Doors: tab.
Must not know: other tabs.
"""
