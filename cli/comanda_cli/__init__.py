"""The `comanda` command: local mode, validation, orders, tenants, doctor and the demo."""
