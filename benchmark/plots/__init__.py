"""Figures for papers, from the aggregates that leaderboards are made of: SVG and PNG.

write.py        which figures, and under what names
leaderboard.py  values with their intervals, a panel a metric
slices.py       models by groups of studies
protocols.py    the same reports under several protocols
curves.py       the course of a training
style.py        colours, fonts and files
"""
