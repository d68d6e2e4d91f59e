"""Real pods, real databases and a Meta that misbehaves, under faults drawn from a seed; judged by a recorded history.

world.py     pods, database, Meta's side, and customers who order; everything they do is written down
history.py   what was written down
checkers.py  pure functions: a history in, broken promises out
nemesis.py   which fault comes next, and how it is done and undone
run.py       one run, and `make torture`: many seeds
"""
