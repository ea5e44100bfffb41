"""Modelway's services: five independent processes over one pure core and one shared kit."""
