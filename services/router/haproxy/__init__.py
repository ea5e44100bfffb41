"""HAProxy as the data plane: what is written for it, and what it is told while it runs."""
