"""The pod's side of a tenant's own code: a child process, watched, and what comes out of it taken as untrusted.

crew.py      which worker runs a turn; who is guilty when one dies
worker.py    one child process from its start to its end
process.py   how it is started: environment, descriptors, memory
output.py    what it prints and logs, bounded and redacted
channel.py   length-prefixed frames over a socket pair
wire.py      the frames
"""
