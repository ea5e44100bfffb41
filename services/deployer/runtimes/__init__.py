"""Where instances can run: one adapter of `core.ports.Runtime` each."""
