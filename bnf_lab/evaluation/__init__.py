"""Did it get better? Sides, measures, intervals, skills, judge, outside tasks.

Doors: sides, measures, intervals, distributions, judge, tasks.
Must not know: runs in a queue, experiments, pages.
"""
