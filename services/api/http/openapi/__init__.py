"""This package describes the API to programs and to people, from the very types that its handlers read and answer."""
