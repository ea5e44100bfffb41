"""Programs that each run in a process of their own, apart from the builder. They import nothing of Modelway's."""
