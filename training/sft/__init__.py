"""Stage one: fine-tunes the language model with LoRA, the vision encoder and projector in full."""
