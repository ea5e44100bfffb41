"""What a build can end in: a bundle of files with an environment; later also an image."""
