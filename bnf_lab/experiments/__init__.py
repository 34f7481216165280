"""Many runs, one question: recipe -> cells -> results -> verdicts -> report; `runner` goes all the way.

Doors: runner, recipes, folder, cells, records, results, measures, verdicts, report, tables, yaml_files.
Must not know: the store, pages.
"""
