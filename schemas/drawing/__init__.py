"""Drawing on pictures for people: text, columns of text, outlines of masks."""
