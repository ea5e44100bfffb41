"""How fast, how small, how steady: figures of a whole platform, measured on this machine. See README.md here."""
