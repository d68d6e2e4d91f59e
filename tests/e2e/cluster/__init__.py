"""Comanda on a real cluster: kind with two nodes, this checkout's images, the chart by Helm, Meta simulated inside.

`make e2e` runs these tests, and nothing else does: they take a Docker Engine and some ten minutes.
"""
