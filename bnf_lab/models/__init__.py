"""A model in memory: fetch, load, encode, pack, score, decode.

Doors: fetch, loading, encoding, encoding_cache, packing, scoring, score_cache, token_stats, decode, adapter_files,
adapters, sampling.
Must not know: losses, runs, pages.
"""
