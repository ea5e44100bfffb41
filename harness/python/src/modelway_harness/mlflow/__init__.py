"""The models that MLflow saved, as functions."""
