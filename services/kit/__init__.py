"""The plumbing that all services share: bus, blobs, configuration, logs, process life."""
