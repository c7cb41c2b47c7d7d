"""The Python interface for reading: what :func:`kleio.connect` opens. Everything in it is read only."""
