"""The embedded database: SQLite, one file a group, one writer at a time."""
