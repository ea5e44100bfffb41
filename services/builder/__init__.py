"""The service that turns a publish order into an immutable artifact."""
