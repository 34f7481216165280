"""Judgements in and out: files and hub data sets -> judged responses with a report; splits, demo sets, export.

Doors: importers, export, report, mapping, layouts, ratings, splits, demo_sets, prompt_list, perturb, formats.rows.
Must not know: models, runs, the store, pages.
"""
