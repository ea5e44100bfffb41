"""The service that runs instances and keeps what runs equal to what is desired."""
