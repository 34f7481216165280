"""Files as tables: one module a file type -> rows with their numbers and places.

Doors: inside data only, but for rows.
Must not know: judgements, verdicts.
"""
