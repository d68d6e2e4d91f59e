"""The database at scale: PostgreSQL, with row-level security and functions that do a whole batch in one call."""
