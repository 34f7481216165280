"""A run on the disk and its life: records, folder, checkpoints, launcher, queue, estimates.

Doors: every module.
Must not know: models, losses, the store, pages; only the standard library, psutil and filelock.
"""
