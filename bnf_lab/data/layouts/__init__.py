"""Layouts: one small entry each, from what tells a table by content to its rows as judged responses.

Doors: inside data only, but for plan and catalogue.
Must not know: files, formats, the store, pages.
"""
