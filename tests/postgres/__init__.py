"""A real PostgreSQL server for the tests: started by them, as a user that is not root, and taken away again."""

from tests.postgres.server import DatabaseUrls, PostgresServer, postgres_server

__all__ = ["DatabaseUrls", "PostgresServer", "postgres_server"]
