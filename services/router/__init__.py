"""The service that tells HAProxy which calls go where."""
