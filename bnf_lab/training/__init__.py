"""One run, from its folder to its adapter: worker, run, plan, trainer, probe, observer, references, preflight.

Doors: worker, run, trainer, preflight, measure, merge, references, probe, observer.
Must not know: the store, the queue, pages.
"""
