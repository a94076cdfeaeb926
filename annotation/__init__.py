"""Regions of a picture and the questions and answers about them."""
