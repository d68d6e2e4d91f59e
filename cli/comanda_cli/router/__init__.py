"""What the command line asks of a router; it runs in a router's own container too, which has no more than it needs."""
