"""Only for the engine itself."""
