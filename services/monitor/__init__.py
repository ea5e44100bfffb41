"""The service that probes instances and says which of them are healthy."""
