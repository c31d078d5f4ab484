"""The door to files that are not trusted: docs/security.md says what is promised.

Readers ask `probe` how much a file may take, and whether a process of its own survives it, `npy` what an
`.npy` file holds, and `state_file`, which loads torch, for the files of that.
"""
