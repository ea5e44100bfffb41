"""The backup: all that is decided and every blob it refers to, as one file; and the way back."""
