"""Django's database backend for PostgreSQL, with cheaper health checks."""
