"""Records -> figures: curves, tokens, histograms, and a run's figures drawn once for all viewers.

Doors: every module.
Must not know: pages, models, who asks.
"""
