"""A thin Kubernetes client: one session, typed errors and informers, without generated models.

config.py      where the API is, and how to prove who one is
kubeconfig.py  the same from files
resources.py   kinds of objects, their paths, and selections of them
errors.py      what the API may answer instead
session.py     HTTP: deadlines, few calls at once, retries, rotated tokens, streams
client.py      get, list, create, replace, apply, delete, watch
store.py       what an informer knows, and the differences it tells (pure)
informer.py    list, watch, and never stop
"""
