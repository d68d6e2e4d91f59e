"""The directory in a cluster: what the API says of tenants, apps and pods, kept as one `Directory`.

records.py      objects of the API → the little of them that routing needs (pure)
build.py        records → directory (pure)
parts.py        the same kept up to date change by change; what vanishes all at once is doubted first (pure)
snapshot.py     the last directory on disk, for a start while the API is away
files.py        local mode: a file
pieces.py       a file decoded in pieces, so that others go on meanwhile (pure)
kubernetes.py   the informers, the pace, and what is known of their health
"""
