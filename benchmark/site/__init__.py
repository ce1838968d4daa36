"""A folder of static pages about the results: leaderboards, models, pairs and, where the data allow it, studies.

build.py    what is written, whole or not at all
boards.py   committed aggregates to what the pages of a leaderboard show
studies.py  run folders on this machine to the page of studies
words.py    which words of a report its reference has, and which findings it contradicts
charts.py   intervals and curves as SVG
"""
