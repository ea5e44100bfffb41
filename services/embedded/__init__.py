"""The home on one machine: starts, watches and stops every part of Modelway."""
