"""What the rooms agree on: resources, wire formats, Cloud API payloads, placement, names and errors.

Everything here is pure: no I/O, no clock, no random. Rooms talk to each other only in these terms.
"""
