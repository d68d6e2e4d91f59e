"""What bot developers program against; `comanda_botpod.handlers.api` shows it. Nothing of the pod is imported here."""
