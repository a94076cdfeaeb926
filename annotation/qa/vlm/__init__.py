"""Dialogues by a vision-language model: its conversations, prompts, pictures, and the form of its replies."""
