"""Plan → Kubernetes objects. Pure: what is here says how things should be, and nothing applies it.

group.py     the objects of a group besides its pods: Services, account, disruption budget, network policy, key
pods.py      its StatefulSet: the pods, as the PodSecurity level `restricted` demands
shards.py    its Secrets with the settings and credentials of its tenants
"""
