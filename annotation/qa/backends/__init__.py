"""The question-and-answer back ends, one a file with a function `make(settings)`."""
