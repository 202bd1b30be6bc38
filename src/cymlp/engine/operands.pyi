# Nothing for Python: calls.pyx runs its kernels with this.
