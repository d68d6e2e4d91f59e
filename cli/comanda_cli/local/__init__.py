"""Local mode: the plan of a folder of resources, run as processes on this machine."""
