"""This package is api's HTTP layer: one file a resource, handlers that parse, call and answer."""
