"""This package is the routes that programs written for another product of this kind know by heart.

Paths, field names and status words are theirs, to be matched exactly; what happens is what our own routes do.
"""
