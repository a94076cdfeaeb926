"""Drawing into pictures for people: text, columns of it, outlines of masks."""
