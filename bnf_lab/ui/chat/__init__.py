"""The tab where base and aligned model answer side by side.

Doors: tab.
Must not know: other tabs.
"""
