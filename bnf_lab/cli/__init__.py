"""The same engine from the shell: one file a verb, options, output.

Doors: main.
Must not know: pages, plots.
"""
