"""The HTTP API, the only writer of the database, and the recorder of everything that happens."""
