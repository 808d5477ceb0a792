"""The CPU's own forms of the operations: exact, pure JAX, one idea a file.

XLA's CPU code is fast at large matrix products and at elementwise loops over whole rows, and slow
at much else that convolutional networks need. Each file says what it goes around.
"""
