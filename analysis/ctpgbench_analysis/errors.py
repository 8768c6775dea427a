"""errors.py -- the one exception of this package; needs no other module"""


class ResultsError(Exception):
    """What is wrong with a file or a request, in one sentence."""
