"""The kernels as compiled for x86_64_v2; they are built into this folder."""
