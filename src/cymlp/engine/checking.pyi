# Nothing for Python: what a call learns from is checked with this.
