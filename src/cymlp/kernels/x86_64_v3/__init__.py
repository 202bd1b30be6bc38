"""The kernels as compiled for x86_64_v3; they are built into this folder."""
