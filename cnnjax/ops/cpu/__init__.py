"""Exact lowerings of the operations for the CPU in pure JAX, one idea a file.

XLA's CPU code is fast at large matrix products and at elementwise loops over whole rows, and slow
at much else that convolutional networks need. Each file says which slow code it avoids.
"""
