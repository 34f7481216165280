"""What all rooms agree on: errors, settings and methods, judgements, files, paths, child processes, the machine.

Doors: every module.
Must not know: any other room, torch, pages; only the standard library, psutil and filelock.
"""
