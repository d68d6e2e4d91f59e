"""Alembic migrations. Schema N can be read and written by version N−1 and N+1, so that upgrades roll."""
