"""The tab where a run is watched: state, plots, tokens, answers.

Doors: tab.
Must not know: other tabs.
"""
