# Nothing for Python: the engine's modules describe arrays with this.
