"""Dialogues by a vision-language model: conversations, their cache, and the ways to reach a model."""
