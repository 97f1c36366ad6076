"""``make bench``: this machine's figures in one table, each beside what the same machine can do at best.

Absolute figures change from hour to hour; only ratios taken in one run, round by round, say something.
"""
